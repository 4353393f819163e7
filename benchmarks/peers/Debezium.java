import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * Debezium's embedded engine writing JSON lines: one engine for each line of stdin, which names a properties file.
 *
 * <p>Beside the connector's own properties: peer.output (the file) and peer.last (what stands in the last record's
 * value). All engines run in one virtual machine, so that the first can warm it for those after. Says "ready" when it
 * can take a line, and "done" when the last record is in the file and the engine has ended.
 */
public final class Debezium {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        System.out.println("ready");
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Properties properties = new Properties();
            try (Reader file = Files.newBufferedReader(Path.of(line))) {
                properties.load(file);
            }
            run(properties);
            System.out.println("done");
        }
    }

    private static void run(Properties properties) throws Exception {
        CountDownLatch ended = new CountDownLatch(1);
        String[] failure = new String[1];
        ExecutorService executor = Executors.newSingleThreadExecutor();
        try (PrintStream out = new PrintStream(
                new BufferedOutputStream(Files.newOutputStream(Path.of(properties.getProperty("peer.output")))))) {
            DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class)
                    .using(properties)
                    .using((success, message, error) -> {
                        failure[0] = success ? null : message + " " + error;
                        ended.countDown();
                    })
                    .notifying((records, committer) -> {
                        if (write(records, committer, out, properties.getProperty("peer.last"))) {
                            ended.countDown();
                        }
                    })
                    .build();
            executor.execute(engine);
            ended.await();
            engine.close();
            if (failure[0] != null || out.checkError()) {
                throw new IllegalStateException("the engine ended: " + failure[0]);
            }
        } finally {
            executor.shutdown();
        }
    }

    /** Whether the last record was among them. */
    private static boolean write(
            List<ChangeEvent<String, String>> records,
            DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer,
            PrintStream out,
            String last) throws InterruptedException {
        boolean seen = false;
        for (ChangeEvent<String, String> record : records) {
            String value = record.value();
            if (value != null) {
                byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
                out.write(bytes, 0, bytes.length);
                out.write('\n');
                seen |= value.contains(last);
            }
            committer.markProcessed(record);
        }
        out.flush();
        committer.markBatchFinished();
        return seen;
    }
}
