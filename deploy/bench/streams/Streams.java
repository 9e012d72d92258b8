import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StreamPartitioner;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * A Kafka Streams application: its store holds what each location has of a SKU, and every stock delta publishes the level
 * of its location and those of its groups.
 *
 * <p>Usage: Streams at_least_once|exactly_once_v2 cached|uncached tuned|default. Cached and uncached are of the store:
 * a processor has no hook before a commit in which it could publish levels that it had kept back, so that none are.
 */
public final class Streams {
  static final String STORE = "stock";

  private Streams() {}

  public static void main(String[] args) throws Exception {
    if (args.length != 3) {
      System.err.println("usage: Streams at_least_once|exactly_once_v2 cached|uncached tuned|default");
      System.exit(2);
    }
    Places places = Places.read(setting("BENCH_PLACES"));
    KafkaStreams streams = new KafkaStreams(topology(places, args[1].equals("cached")), settings(args[0], args[2].equals("tuned")));
    streams.setUncaughtExceptionHandler(e -> {
      e.printStackTrace();
      Runtime.getRuntime().halt(1);
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
    streams.start();
  }

  static String setting(String name) {
    String value = System.getenv(name);
    if (value == null || value.isEmpty()) {
      throw new IllegalStateException(name + " is not set: let `onhand bench --system` start this");
    }
    return value;
  }

  static Topology topology(Places places, boolean cached) {
    String namespace = setting("ONHAND_NAMESPACE");
    int schema = Integer.parseInt(setting("BENCH_UPDATE_SCHEMA"));
    StoreBuilder<KeyValueStore<String, byte[]>> store =
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.String(), Serdes.ByteArray()).withLoggingEnabled(Map.of());
    store = cached ? store.withCachingEnabled() : store.withCachingDisabled();
    // The partition of a level is that of its SKU, as in onhand.
    StreamPartitioner<String, byte[]> bySKU = (topic, key, value, partitions) -> {
      byte[] sku = Utils.utf8(key.substring(key.indexOf('/') + 1));
      return Optional.of(Set.of(Utils.toPositive(Utils.murmur2(sku)) % partitions));
    };
    return new Topology()
        .addSource("deltas", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), namespace + ".stock-deltas")
        .addProcessor("levels", () -> new Levels(places, schema), "deltas")
        .addStateStore(store, "levels")
        .addSink("updates", namespace + ".availability-updates", Serdes.String().serializer(), Serdes.ByteArray().serializer(), bySKU, "levels");
  }

  static Properties settings(String guarantee, boolean tuned) {
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, setting("ONHAND_NAMESPACE") + ".processor");
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("ONHAND_BROKERS"));
    p.put(StreamsConfig.STATE_DIR_CONFIG, setting("BENCH_STATE"));
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
    p.put(StreamsConfig.producerPrefix(ProducerConfig.ACKS_CONFIG), "all");
    p.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "zstd");
    p.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_ZSTD_LEVEL_CONFIG), 1);
    if (tuned) {
      p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
      p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
      p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 128L << 20);
      p.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
      p.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 50);
      p.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 4000);
      // Comes back without waiting for the end of its session.
      p.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), setting("ONHAND_INSTANCE"));
    }
    return p;
  }
}
