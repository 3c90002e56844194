package peers;

import java.time.Duration;
import java.time.Instant;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

/** What the processor remembers: which events it has seen, and the position of each item. */
interface Memory {
  Duration WINDOW = Duration.ofHours(24);

  /** Says whether an event is new, and remembers it. */
  boolean isNew(Event event);

  /** Gives the position of an item, a new one if nothing was heard of it. */
  Position position(String item);

  /** Keeps a position that was changed. */
  void keep(String item, Position position);

  /**
   * In the stores of Kafka Streams. A repeat keeps its occurred_at, so one look at (event_id, occurred_at) finds it: a
   * point look-up, where the usual search through a range of time opens an iterator in each segment.
   */
  record Stores(WindowStore<String, byte[]> ids, KeyValueStore<String, Position> positions) implements Memory {
    private static final byte[] SEEN = {1};

    @Override
    public boolean isNew(Event event) {
      long moment = Instant.parse(event.occurredAt()).toEpochMilli();
      if (ids.fetch(event.eventId(), moment) != null) {
        return false;
      }
      ids.put(event.eventId(), SEEN, moment);
      return true;
    }

    @Override
    public Position position(String item) {
      Position position = positions.get(item);
      return position == null ? new Position() : position;
    }

    @Override
    public void keep(String item, Position position) {
      positions.put(item, position);
    }
  }

  /** In plain maps on the heap: nothing survives the process. The upper bound of what the tool can do. */
  record Heap(java.util.HashMap<String, Long> ids, java.util.HashMap<String, Position> positions) implements Memory {
    @Override
    public boolean isNew(Event event) {
      return ids.putIfAbsent(event.eventId(), Instant.parse(event.occurredAt()).toEpochMilli()) == null;
    }

    @Override
    public Position position(String item) {
      return positions.computeIfAbsent(item, unknown -> new Position());
    }

    @Override
    public void keep(String item, Position position) {
      // it is there already
    }
  }
}
