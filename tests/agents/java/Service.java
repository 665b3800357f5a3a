// A service with known hot functions for Java's agents: hotA does 7 parts of the work, hotB 3.
//
//     java -javaagent:AGENT.jar -cp DIR Service SECONDS        everything else by DD_* or PYROSCOPE_*
import java.util.ArrayDeque;
import java.util.concurrent.CountDownLatch;

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

    /** Longer than profilers want a wait to be before they tell of it, which is 10 ms or 20. */
    static void waitInLine() {
        CountDownLatch taken = new CountDownLatch(1);
        Thread holder = new Thread(() -> holdTheLock(taken), "holder");
        holder.setDaemon(true);
        holder.start();
        try {
            taken.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        synchronized (lock) {
            sink++;
        }
    }

    static void holdTheLock(CountDownLatch taken) {
        synchronized (lock) {
            taken.countDown();
            pause(40);
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
        ArrayDeque<byte[]> kept = new ArrayDeque<>();
        for (int round = 0; System.nanoTime() < until; round++) {
            work();
            for (int i = 0; i < 200; i++) {
                kept.add(new byte[10_000 + i]);
            }
            while (kept.size() > 1000) {
                kept.remove();
            }
            if (round % 10 == 0) {
                waitInLine();
            }
        }
    }
}
