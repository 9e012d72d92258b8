import java.nio.ByteBuffer;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Changes what a location holds, a count sets it and an adjustment adds to it, and forwards the levels that change with it.
 * A SKU is one value of the store: eight bytes for each location, thousandths.
 */
final class Levels extends ContextualProcessor<String, byte[], String, byte[]> {
  /** What a location holds that never had the SKU. */
  private static final long ABSENT = Long.MIN_VALUE;

  private final Places places;
  private final Wire wire;
  private KeyValueStore<String, byte[]> store;

  Levels(Places places, int schema) {
    this.places = places;
    this.wire = new Wire(schema);
  }

  @Override
  public void init(ProcessorContext<String, byte[]> context) {
    super.init(context);
    store = context.getStateStore(Streams.STORE);
  }

  @Override
  public void process(Record<String, byte[]> record) {
    Wire.Delta delta = wire.delta(record.value());
    Integer location = places.index.get(delta.location());
    if (location == null) {
      throw new IllegalStateException("location " + delta.location() + " is in no line of the places");
    }
    ByteBuffer stock = stock(store.get(delta.sku()));
    long held = stock.getLong(8 * location);
    stock.putLong(8 * location, delta.count() || held == ABSENT ? delta.quantity() : held + delta.quantity());
    store.put(delta.sku(), stock.array());
    long now = System.currentTimeMillis();
    for (int place : places.touched.get(location)) {
      String name = places.names.get(place);
      long onHand = 0;
      long available = 0;
      for (int member : places.members.get(place)) {
        held = stock.getLong(8 * member);
        if (held != ABSENT) {
          onHand += held;
          available += Math.max(0, held);
        }
      }
      byte[] value = wire.update(name, place < places.locations, delta.sku(), onHand, available, now);
      context().forward(new Record<>(name + "/" + delta.sku(), value, record.timestamp()));
    }
  }

  /** A copy to change: the store may keep the array that it has returned. */
  private ByteBuffer stock(byte[] stored) {
    if (stored != null) {
      return ByteBuffer.wrap(stored.clone());
    }
    ByteBuffer stock = ByteBuffer.allocate(8 * places.locations);
    for (int i = 0; i < places.locations; i++) {
      stock.putLong(8 * i, ABSENT);
    }
    return stock;
  }
}
