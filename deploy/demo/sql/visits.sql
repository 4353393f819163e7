-- The log without a key: equal rows, of which one is changed and one is taken away. Odd values come in, too.
\set page random(1, 20)
BEGIN;
INSERT INTO visits VALUES (date_trunc('minute', now()), 'page ' || :page, :page), (date_trunc('minute', now()), 'page ' || :page, :page);
UPDATE visits SET page = 'page, seen' WHERE ctid = (SELECT ctid FROM visits WHERE visitor = :page LIMIT 1 FOR UPDATE SKIP LOCKED);
DELETE FROM visits WHERE ctid = (SELECT ctid FROM visits WHERE visitor <> :page LIMIT 1 FOR UPDATE SKIP LOCKED);
INSERT INTO odd_values (exact, approximate, moment, facts, words, feelings, during)
    VALUES ('NaN', 'infinity', '-infinity', '{"a": [1, {"b": null}]}', '{"{}",NULL}', '{ok,"très heureux"}', '[today,infinity)');
UPDATE odd_values SET numbers = numbers || :page, exact = -exact, note = NULL WHERE id = :page * 50;
END;
