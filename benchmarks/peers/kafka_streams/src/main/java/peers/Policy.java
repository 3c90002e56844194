package peers;

/** What each channel sells from, and what it holds back: the same constants as job.py has. */
record Policy(String channel, int[] places, long bufferQuantity, long bufferPercent, long cap) {
  static final int PLACES = 5;
  static final Policy[] ALL = {
    new Policy("web", new int[] {0, 1, 2}, 2, 0, Long.MAX_VALUE),
    new Policy("marketplace", new int[] {1, 3}, 0, 10, Long.MAX_VALUE),
    new Policy("stores", new int[] {2, 4}, 0, 0, Long.MAX_VALUE),
    new Policy("edi", new int[] {3}, 0, 0, 20),
  };
  /** By place: the numbers of the channels that a movement there can change. */
  static final int[][] SOLD_AT = new int[PLACES][];

  static {
    for (int place = 0; place < PLACES; place++) {
      int at = place;
      SOLD_AT[place] =
          java.util.stream.IntStream.range(0, ALL.length)
              .filter(n -> java.util.Arrays.stream(ALL[n].places).anyMatch(p -> p == at))
              .toArray();
    }
  }

  static int placeOf(String location) {
    int place = location.length() == 4 && location.startsWith("DC-") ? location.charAt(3) - '1' : -1;
    if (place < 0 || place >= PLACES) {
      throw new IllegalArgumentException("location " + location + " is not known");
    }
    return place;
  }

  long promise(Position position) {
    long free = 0;
    for (int place : places) {
      free += Math.max(0, position.onHand[place] - position.quarantined[place]);
    }
    long number = free - bufferQuantity - (free * bufferPercent + 99) / 100;
    return Math.max(0, Math.min(number, cap));
  }
}
