"""What users meet, as they meet it: `cdcd run` between real servers, its exit codes and words, equality at the end."""
