"""The roles that tests run with: no superuser anywhere a user of cdcd would not be one.

`app` owns the application's tables at the source. `cdcd_source` may read changes and, as a member of `app`,
publish its tables. `cdcd_target` owns what it makes at the target; `cdcd_target_replica` may also switch
triggers off for its session. Their passwords need quoting in a URL.
"""

from tests.servers.address import Server

APP = "app"
SOURCE = "cdcd_source"
TARGET = "cdcd_target"
TARGET_REPLICA = "cdcd_target_replica"

PASSWORDS = {
    APP: "app@pass/word: 1%",
    SOURCE: "canary-source: ?#/@%+&='\"\\",
    TARGET: "canary-target: ?#/@%+&='\"\\",
    TARGET_REPLICA: "canary-replica: ?#/@%+&='\"\\",
}


def make_roles(server: Server) -> None:
    """Make the roles on a server, or give those that are there the rights and passwords expected."""
    there = {row[0] for row in server.execute("SELECT rolname FROM pg_roles")}
    for role, password in PASSWORDS.items():
        verb = "ALTER" if role in there else "CREATE"
        replication = "REPLICATION" if role == SOURCE else "NOREPLICATION"
        rights = f"LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE {replication}"
        server.execute(f"{verb} ROLE {role} {rights} PASSWORD %s", password)
    server.execute(f"GRANT {APP} TO {SOURCE}")
    if server.major >= 15:
        server.execute(f"GRANT SET ON PARAMETER session_replication_role TO {TARGET_REPLICA}")
