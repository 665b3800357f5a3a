//! A service with known hot functions for the `pyroscope` crate: hot_a does 7 parts of the work,
//! hot_b 3. Usage: service SECONDS, the rest by the PYROSCOPE_* variables read below.
use pyroscope::backend::{pprof_backend, BackendConfig, PprofConfig};
use pyroscope::pyroscope::PyroscopeAgentBuilder;
use std::hint::black_box;
use std::time::{Duration, Instant};

#[inline(never)]
fn hot_a(n: u64) -> u64 {
    let mut x = 1u64;
    for i in 0..n {
        x = black_box(x.wrapping_mul(6364136223846793005).wrapping_add(i));
    }
    x
}

#[inline(never)]
fn hot_b(n: u64) -> u64 {
    let mut x = 1u64;
    for i in 0..n {
        x = black_box(x.wrapping_mul(2862933555777941757).wrapping_add(i));
    }
    x
}

/// Short turns: a turn near the sampler's period would beat with it.
fn work() {
    for _ in 0..20 {
        black_box(hot_a(700_000));
        black_box(hot_b(300_000));
    }
}

fn serve(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        work();
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: u64 = std::env::args().nth(1).ok_or("usage: service SECONDS")?.parse()?;
    let labels = std::env::var("PYROSCOPE_LABELS")?;
    let agent = PyroscopeAgentBuilder::new(
        std::env::var("PYROSCOPE_SERVER_ADDRESS")?,
        std::env::var("PYROSCOPE_APPLICATION_NAME")?,
        100,
        "pyroscope-rs",
        "2.1.5",
        pprof_backend(PprofConfig::default(), BackendConfig::default()),
    )
    .tags(labels.split(',').filter_map(|tag| tag.split_once('=')).collect())
    .upload_interval(Duration::from_secs(2))
    .build()?;
    let running = agent.start()?;
    serve(Duration::from_secs(seconds));
    running.stop()?.shutdown();
    Ok(())
}
