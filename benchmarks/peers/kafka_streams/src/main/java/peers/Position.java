package peers;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** What is known of an item; a fixed number of bytes in the store. */
final class Position {
  static final int BYTES = 8 * (2 * Policy.PLACES + Policy.ALL.length + 1);
  static final Serde<Position> SERDE =
      Serdes.serdeFrom((topic, position) -> position == null ? null : position.toBytes(), reader());

  final long[] onHand = new long[Policy.PLACES];
  final long[] quarantined = new long[Policy.PLACES];
  final long[] published = new long[Policy.ALL.length];
  long version;

  /** Apply one event that is no repeat; gives the place it happened at. */
  int move(Event event) {
    int place = Policy.placeOf(event.location());
    long quantity = event.quantity();
    switch (event.type()) {
      case "stock_received", "stock_adjusted" -> {
        onHand[place] += quantity;
        if ("quarantined".equals(event.status())) {
          quarantined[place] += quantity;
        }
      }
      case "stock_status_changed" ->
          quarantined[place] += "quarantined".equals(event.toStatus()) ? quantity : -quantity;
      default -> throw new IllegalArgumentException("type " + event.type() + " is not known");
    }
    return place;
  }

  private byte[] toBytes() {
    ByteBuffer out = ByteBuffer.allocate(BYTES);
    for (long[] figures : new long[][] {onHand, quarantined, published}) {
      for (long figure : figures) {
        out.putLong(figure);
      }
    }
    return out.putLong(version).array();
  }

  private static Deserializer<Position> reader() {
    return (topic, bytes) -> {
      if (bytes == null) {
        return null;
      }
      ByteBuffer in = ByteBuffer.wrap(bytes);
      Position position = new Position();
      for (long[] figures : new long[][] {position.onHand, position.quarantined, position.published}) {
        for (int n = 0; n < figures.length; n++) {
          figures[n] = in.getLong();
        }
      }
      position.version = in.getLong();
      return position;
    };
  }
}
