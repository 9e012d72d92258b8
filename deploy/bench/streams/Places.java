import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The locations and groups. Places are numbered: locations first, then groups. */
final class Places {
  final List<String> names = new ArrayList<>();
  final Map<String, Integer> index = new HashMap<>();

  /** By location: itself and its groups, the places whose levels change with it. */
  final List<int[]> touched = new ArrayList<>();

  /** By place: the locations whose sum it is. */
  final List<List<Integer>> members = new ArrayList<>();

  int locations;

  /** Reads a file with a line for each location: its name and those of its groups, with a space between. */
  static Places read(String file) throws IOException {
    Places p = new Places();
    List<String[]> lines = new ArrayList<>();
    for (String line : Files.readAllLines(Path.of(file))) {
      String[] words = line.split(" ");
      lines.add(words);
      p.members.add(List.of(p.number(words[0])));
    }
    p.locations = lines.size();
    for (String[] words : lines) {
      int[] touched = new int[words.length];
      touched[0] = p.index.get(words[0]);
      for (int i = 1; i < words.length; i++) {
        touched[i] = p.number(words[i]);
        if (touched[i] == p.members.size()) {
          p.members.add(new ArrayList<>());
        }
        p.members.get(touched[i]).add(touched[0]);
      }
      p.touched.add(touched);
    }
    return p;
  }

  private int number(String name) {
    Integer known = index.putIfAbsent(name, names.size());
    if (known != null) {
      return known;
    }
    names.add(name);
    return names.size() - 1;
  }
}
