package peers;

import java.time.Instant;
import java.util.HashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** Dedup, quantities, a number for each channel that changed. */
final class Promise implements Processor<String, Event, String, Update> {
  static final String IDS = "ids";
  static final String POSITIONS = "positions";

  private final boolean isDurable;
  private final AtomicLong done;
  private ProcessorContext<String, Update> context;
  private Memory memory;

  Promise(boolean isDurable, AtomicLong done) {
    this.isDurable = isDurable;
    this.done = done;
  }

  @Override
  public void init(ProcessorContext<String, Update> context) {
    this.context = context;
    memory =
        isDurable
            ? new Memory.Stores(context.getStateStore(IDS), context.getStateStore(POSITIONS))
            : new Memory.Heap(new HashMap<>(), new HashMap<>());
  }

  @Override
  public void process(Record<String, Event> record) {
    Event event = record.value();
    if (memory.isNew(event)) {
      Position position = memory.position(event.item());
      int place = position.move(event);
      for (int number : Policy.SOLD_AT[place]) {
        Policy policy = Policy.ALL[number];
        long atp = policy.promise(position);
        long previous = position.published[number];
        if (atp != previous) {
          position.published[number] = atp;
          position.version++;
          Update update =
              new Update(
                  event.item(),
                  policy.channel(),
                  atp,
                  previous,
                  event.type(),
                  event.occurredAt(),
                  Instant.now().toString(),
                  position.version);
          context.forward(record.withKey(event.item() + ":" + policy.channel()).withValue(update));
        }
      }
      memory.keep(event.item(), position);
    }
    done.lazySet(done.get() + 1);
  }
}
