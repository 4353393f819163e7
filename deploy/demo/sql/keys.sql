-- Keys change, in one go or there and back; two seats exchange their holders; a row moves between partitions.
\set a random(1, 499)
\set b random(500, 1000)
BEGIN;
UPDATE seats SET id = id + 1000000, moved = moved + 1
    WHERE id = (SELECT min(id) FROM seats WHERE id % 1000000 = :a);
SELECT id FROM seats WHERE id IN (:b, 500) ORDER BY id FOR UPDATE;
UPDATE seats s SET holder = o.holder FROM seats o
    WHERE s.id IN (:b, 500) AND o.id IN (:b, 500) AND s.id <> o.id;
UPDATE "Größe & Menge"."Straße ""Nr. 1""" SET "ключ" = to_jsonb(:a % 11), "%s" = 'moved' WHERE "Id" = :a;
UPDATE measures SET at = at + CASE WHEN at < '2025-01-01' THEN 365 ELSE -365 END, value = :b
    WHERE sensor = :a * 10 + :b % 10;
END;
