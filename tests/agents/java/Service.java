// A service with known hot functions for Java's agents: hotA does 7 parts of the work, hotB 3.
//
//     java -javaagent:AGENT.jar -cp DIR Service SECONDS        everything else by DD_* or PYROSCOPE_*
import java.util.ArrayDeque;

public class Service {
    static volatile long sink;
    static final Object lock = new Object();

    static void hotA(int n) {
        long x = sink;
        for (int i = 0; i < n; i++) {
            x = x * 6364136223846793005L + i;
        }
        sink = x;
    }

    static void hotB(int n) {
        long x = sink;
        for (int i = 0; i < n; i++) {
            x = x * 2862933555777941757L + i;
        }
        sink = x;
    }

    /** Short turns: a turn near the sampler's period would beat with it. */
    static void work() {
        for (int turn = 0; turn < 20; turn++) {
            hotA(700_000);
            hotB(300_000);
        }
    }

    static void waitInLine() {
        synchronized (lock) {
            pause(1);
        }
    }

    static void holdTheLock() {
        while (true) {
            waitInLine();
            pause(1);
        }
    }

    static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    public static void main(String[] args) {
        long until = System.nanoTime() + Long.parseLong(args[0]) * 1_000_000_000L;
        Thread other = new Thread(Service::holdTheLock, "holder");
        other.setDaemon(true);
        other.start();
        ArrayDeque<byte[]> kept = new ArrayDeque<>();
        while (System.nanoTime() < until) {
            work();
            for (int i = 0; i < 200; i++) {
                kept.add(new byte[10_000 + i]);
            }
            while (kept.size() > 1000) {
                kept.remove();
            }
            waitInLine();
        }
    }
}
