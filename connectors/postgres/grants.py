"""Who may do what: the privileges granted at the source, each as the statement that grants it, and whether a target has
them. Owners are the target's own: nothing is said of what an owner may do ("Privileges")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cdcd.model.schema import Statement
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_identifier
from connectors.postgres.objects_after import Relations

PUBLIC = ""

# What is there by default, or since initdb, was granted by nobody.
_ACLS = """
WITH these (class, oid) AS (
    SELECT * FROM unnest(%(classes)s::oid[], %(oids)s::oid[])
    UNION SELECT 'pg_class'::regclass, unnest(%(relations)s::oid[])
    UNION SELECT 'pg_namespace'::regclass, relnamespace FROM pg_class WHERE oid = ANY (%(relations)s::oid[])),
acls AS (
    SELECT 'pg_class'::regclass::oid AS class, oid, 0 AS number, ''::text AS part,
           CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
           acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner) AS initial, relowner AS owner,
           relacl AS acl FROM pg_class
    UNION ALL SELECT 'pg_class'::regclass, a.attrelid, a.attnum, a.attname, 'TABLE', acldefault('c', c.relowner),
                     c.relowner, a.attacl FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    UNION ALL SELECT 'pg_proc'::regclass, oid, 0, '', 'ROUTINE', acldefault('f', proowner), proowner, proacl
              FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, oid, 0, '', 'TYPE', acldefault('T', typowner), typowner, typacl
              FROM pg_type
    UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, '', 'SCHEMA', acldefault('n', nspowner), nspowner, nspacl
              FROM pg_namespace)
"""

_GRANTS = f"""{_ACLS}
SELECT a.kind, i.identity, a.part, coalesce(g.rolname, ''), x.is_grantable, x.privilege_type = 'MAINTAIN',
       array_agg(x.privilege_type ORDER BY x.privilege_type)
FROM acls a JOIN these USING (class, oid) CROSS JOIN LATERAL pg_identify_object(a.class, a.oid, 0) i
CROSS JOIN LATERAL aclexplode(a.acl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
WHERE x.grantee <> a.owner AND (x.grantee = 0 OR g.oid IS NOT NULL)
  AND NOT EXISTS (SELECT FROM aclexplode(a.initial) o WHERE o.grantee = x.grantee
                                                        AND o.privilege_type = x.privilege_type)
  AND NOT EXISTS (SELECT FROM pg_init_privs p, LATERAL aclexplode(p.initprivs) o
                  WHERE p.classoid = a.class AND p.objoid = a.oid AND p.objsubid = a.number
                    AND o.grantee = x.grantee AND o.privilege_type = x.privilege_type)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY a.kind = 'SCHEMA' DESC, 1, 2, 3, 4, 5, 6
"""

_REVOKED = f"""{_ACLS}
SELECT a.kind, i.identity FROM acls a JOIN these USING (class, oid), LATERAL pg_identify_object(a.class, a.oid, 0) i
WHERE a.acl IS NOT NULL AND a.kind IN ('ROUTINE', 'TYPE')
  AND NOT EXISTS (SELECT FROM aclexplode(a.acl) x WHERE x.grantee = 0) ORDER BY 1, 2
"""

_HERE = """
LEFT JOIN pg_class c ON c.oid = CASE WHEN w.kind IN ('TABLE', 'SEQUENCE') THEN to_regclass(w.object) END
LEFT JOIN pg_proc p ON p.oid = CASE WHEN w.kind = 'ROUTINE' THEN to_regprocedure(w.object) END
LEFT JOIN pg_type t ON t.oid = CASE WHEN w.kind = 'TYPE' THEN to_regtype(w.object) END
LEFT JOIN pg_namespace n ON n.oid = CASE WHEN w.kind = 'SCHEMA' THEN to_regnamespace(w.object) END
CROSS JOIN LATERAL (SELECT CASE w.kind WHEN 'ROUTINE' THEN coalesce(p.proacl, acldefault('f', p.proowner))
                            WHEN 'TYPE' THEN coalesce(t.typacl, acldefault('T', t.typowner))
                            WHEN 'SCHEMA' THEN coalesce(n.nspacl, acldefault('n', n.nspowner))
                            ELSE c.relacl END,
                coalesce(p.proowner, t.typowner, n.nspowner, c.relowner)) q (acl, owner)
"""

GRANTED = f"""
SELECT w.number FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
                     w (number, kind, object, part, grantee, privileges, grantable) {_HERE}
LEFT JOIN pg_attribute a ON w.part <> '' AND a.attrelid = c.oid AND a.attname = w.part
WHERE string_to_array(w.privileges, ', ') <@ ARRAY(
    SELECT x.privilege_type FROM aclexplode(CASE WHEN w.part <> '' THEN a.attacl ELSE q.acl END) x
    LEFT JOIN pg_roles g ON g.oid = x.grantee
    WHERE CASE WHEN x.grantee = 0 THEN '' ELSE g.rolname END = w.grantee AND (x.is_grantable OR w.grantable = 'no'))
"""

REVOKED = f"""
SELECT w.number FROM unnest(%s::int[], %s::text[], %s::text[]) w (number, kind, object) {_HERE}
WHERE q.owner IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(q.acl) x WHERE x.grantee = 0)
"""

OTHERS = f"""
SELECT w.number FROM unnest(%s::int[], %s::text[], %s::text[]) w (number, kind, object) {_HERE}
WHERE NOT pg_has_role(q.owner, 'USAGE') ORDER BY 1
"""
"""Those that are there and whose privileges our role may not give."""


def read_grants(asker: Asker, relations: Relations, objects: Sequence[tuple[int, int]]) -> Iterator[Statement]:
    """Of what is made at the target: `relations`, and `objects` by catalogue and OID. A privilege of PUBLIC that was
    taken away is taken away first."""
    these = {
        "classes": [catalogue for catalogue, _ in objects], "oids": [oid for _, oid in objects],
        "relations": list(relations),
    }  # fmt: skip
    for kind, name in asker.ask(_REVOKED, **these):
        yield Statement("grant", f"REVOKE ALL ON {kind} {name} FROM PUBLIC", ("revoke", kind, name), stage="after")
    for kind, name, part, grantee, grantable, maintain, privileges in asker.ask(_GRANTS, **these):
        told = ", ".join(privileges)
        columns = f" ({quote_identifier(part)})" if part else ""
        what = ", ".join(privilege + columns for privilege in privileges)
        to = "PUBLIC" if grantee == PUBLIC else quote_identifier(grantee)
        text = f"GRANT {what} ON {kind} {name} TO {to}" + (" WITH GRANT OPTION" if grantable else "")
        of = ("grant", kind, name, part, grantee, told, "yes" if grantable else "no")
        roles = () if grantee == PUBLIC else (grantee,)
        needs = 170000 if maintain else 0
        yield Statement("grant", text, of, "", "after", needs, roles=roles)
