-- Neighbours of long texts change; now and then a text itself; a document comes and goes.
\set number random(1, 1000)
\set new random(1001, 2000000000)
BEGIN;
UPDATE documents SET revision = revision + 1, title = 'seen by ' || :client_id
    WHERE tenant = 'tenant ' || :number % 10 AND number = :number;
UPDATE documents SET body = repeat(md5(:new::text), 400) WHERE number = :new % 1000 AND revision % 16 = 7;
INSERT INTO documents VALUES ('new', :new, 'ephemeral', 0, repeat('x', 9000)) ON CONFLICT DO NOTHING;
DELETE FROM documents WHERE tenant = 'new' AND number = (SELECT min(number) FROM documents WHERE tenant = 'new');
END;
