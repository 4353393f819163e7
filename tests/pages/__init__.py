"""The pages of docs/, gone through: each command as it stands there, at servers of the tests'."""
