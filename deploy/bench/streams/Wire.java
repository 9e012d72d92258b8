import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/**
 * Avro in the Confluent wire format, by hand for the two records that are needed: faster than any library, and without the
 * checks that one makes. The fields stand in schemas/StockDelta.avsc and schemas/AvailabilityUpdate.avsc.
 */
final class Wire {
  /** A count or an adjustment of so many thousandths. */
  record Delta(String sku, String location, boolean count, long quantity) {}

  private final byte[] head;
  private final ByteArrayOutputStream out = new ByteArrayOutputStream(256);
  private byte[] in;
  private int at;

  Wire(int schema) {
    head = new byte[] {0, (byte) (schema >> 24), (byte) (schema >> 16), (byte) (schema >> 8), (byte) schema};
  }

  Delta delta(byte[] value) {
    in = value;
    at = 5; // behind 0 and the id of the schema
    int recordId = (int) readLong();
    at += recordId;
    String sku = readString();
    String location = readString();
    long mode = readLong();
    if (mode > 1 || readLong() != 1) {
      throw new IllegalStateException("neither a count nor an adjustment of on hand");
    }
    return new Delta(sku, location, mode == 0, readDecimal());
  }

  byte[] update(String place, boolean location, String sku, long onHand, long available, long millis) {
    out.reset();
    out.writeBytes(head);
    writeString(place);
    writeLong(location ? 0 : 1);
    writeString(sku);
    writeDecimal(onHand);
    for (int i = 0; i < 4; i++) { // reserved, groupReserved, sharedGroupReserved, safetyStockCount
      writeDecimal(0);
    }
    writeLong(0); // no futures
    writeDecimal(0); // futureQuantity
    writeLong(0); // no nextExpectedDate
    writeDecimal(available);
    writeDecimal(available);
    writeDecimal(location ? Math.max(0, -onHand) : 0);
    writeLong(0); // no effectiveDate
    writeLong(1); // graphVersion
    writeLong(0); // version
    writeLong(1000 * millis);
    return out.toByteArray();
  }

  private long readLong() {
    long n = 0;
    for (int shift = 0; ; shift += 7) {
      byte b = in[at++];
      n |= (long) (b & 0x7f) << shift;
      if (b >= 0) {
        return n >>> 1 ^ -(n & 1);
      }
    }
  }

  private String readString() {
    int length = (int) readLong();
    at += length;
    return new String(in, at - length, length, StandardCharsets.UTF_8);
  }

  private long readDecimal() {
    int length = (int) readLong();
    long n = length == 0 ? 0 : in[at] >> 7; // the sign
    for (int i = 0; i < length; i++) {
      n = n << 8 | in[at++] & 0xff;
    }
    return n;
  }

  private void writeLong(long n) {
    long rest = n << 1 ^ n >> 63;
    for (; (rest & ~0x7fL) != 0; rest >>>= 7) {
      out.write((int) (rest & 0x7f | 0x80));
    }
    out.write((int) rest);
  }

  private void writeString(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    writeLong(bytes.length);
    out.writeBytes(bytes);
  }

  private void writeDecimal(long n) {
    int length = 1; // the fewest bytes that keep the sign
    while (length < 8 && n >> (8 * length - 1) != 0 && n >> (8 * length - 1) != -1) {
      length++;
    }
    writeLong(length);
    for (int i = length - 1; i >= 0; i--) {
      out.write((int) (n >> (8 * i)));
    }
  }
}
