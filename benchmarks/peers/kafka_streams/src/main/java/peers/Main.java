package peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/**
 * The job on Kafka Streams, by its Processor API. "durable": exactly once, stores in RocksDB with changelog topics;
 * "memory": plain maps, no changelog, at least once. Ends when it has processed PEER_EVENTS events and committed them.
 */
public final class Main {
  private static final long POLL_MS = 5;

  public static void main(String[] arguments) throws InterruptedException {
    boolean isDurable = arguments.length == 1 && arguments[0].equals("durable");
    if (!isDurable && !(arguments.length == 1 && arguments[0].equals("memory"))) {
      System.err.println("usage: Main durable|memory");
      System.exit(2);
    }
    Map<String, String> env = System.getenv();
    long events = Long.parseLong(env.get("PEER_EVENTS"));
    AtomicLong done = new AtomicLong();
    AtomicReference<Throwable> failure = new AtomicReference<>();

    KafkaStreams streams = new KafkaStreams(topology(isDurable, done, env), settings(isDurable, env));
    streams.setUncaughtExceptionHandler(
        error -> {
          failure.set(error);
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.start();
    long step = Math.max(1, events / 100);
    long told = 0;
    while (done.get() < events && failure.get() == null) {
      Thread.sleep(POLL_MS);
      long now = done.get();
      if (now - told >= step) {
        told = now;
        System.out.println("progress " + now);
      }
    }
    System.out.println("progress " + done.get());
    streams.close();
    if (failure.get() != null) {
      failure.get().printStackTrace();
      System.exit(1);
    }
  }

  private static Topology topology(boolean isDurable, AtomicLong done, Map<String, String> env) {
    ObjectMapper mapper = new ObjectMapper();
    Topology topology = new Topology();
    topology.addSource(
        "events", Serdes.String().deserializer(), json(mapper, Event.class).deserializer(), env.get("PEER_INPUT"));
    topology.addProcessor("promise", () -> new Promise(isDurable, done), "events");
    topology.addSink(
        "updates", env.get("PEER_OUTPUT"), Serdes.String().serializer(), json(mapper, Update.class).serializer(), "promise");
    if (isDurable) {
      topology.addStateStore(
          Stores.windowStoreBuilder(
              Stores.persistentWindowStore(Promise.IDS, Memory.WINDOW, Memory.WINDOW, false),
              Serdes.String(),
              Serdes.ByteArray()),
          "promise");
      topology.addStateStore(
          Stores.keyValueStoreBuilder(
                  Stores.persistentKeyValueStore(Promise.POSITIONS), Serdes.String(), Position.SERDE)
              .withCachingEnabled(),
          "promise");
    }
    return topology;
  }

  private static Properties settings(boolean isDurable, Map<String, String> env) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, env.get("PEER_GROUP"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, env.get("PEER_BROKERS"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, env.get("PEER_STATE"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(
        StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
        isDurable ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 * 1024);
    return settings;
  }

  private static <T> Serde<T> json(ObjectMapper mapper, Class<T> type) {
    ObjectReader reader = mapper.readerFor(type);
    ObjectWriter writer = mapper.writerFor(type);
    return Serdes.serdeFrom(
        (topic, value) -> {
          try {
            return value == null ? null : writer.writeValueAsBytes(value);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        },
        (topic, bytes) -> {
          try {
            return bytes == null ? null : reader.readValue(bytes);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        });
  }
}
