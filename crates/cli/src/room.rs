//! What of the machine a run may use.

use clap::Args;
use thrifty_engine::units::parse_size;
use thrifty_pipeline::{Resources, millicpus};

/// What there is for operations that say which `resources` they need.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Room {
    /// Processors for operations of a file that say what they need; all of the machine's unless given
    #[arg(long, value_name = "N", value_parser = cpus)]
    cpus: Option<u64>,
    /// Memory for them, such as 16GiB
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Graphics processors for them
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
}

impl Room {
    /// Whether anything was given.
    pub(crate) const fn is_said(&self) -> bool {
        self.cpus.is_some() || self.memory.is_some() || self.gpus.is_some()
    }

    /// What was given, or else what the machine has.
    pub(crate) fn capacity(&self) -> Resources {
        let Self { cpus, memory, gpus } = self;
        Resources {
            millicpus: cpus.unwrap_or_else(processors),
            memory: memory.unwrap_or_else(memory_of_the_machine),
            gpus: gpus.map_or_else(graphics, u64::from),
        }
    }
}

fn cpus(text: &str) -> Result<u64, String> {
    let number: f64 = text.parse().map_err(|_| "write a number".to_owned())?;
    millicpus(number).map_err(|why| format!("it {why}"))
}

fn memory(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|error| error.to_string())
}

fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64) * 1000
}

/// The memory of the machine, or of the group of processes this one is in, if that has less.
fn memory_of_the_machine() -> u64 {
    let system = rustix::system::sysinfo();
    let whole = u64::from(system.mem_unit) * system.totalram;
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit =
        limits.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
    limit.map_or(whole, |limit| whole.min(limit))
}

/// Graphics processors as CUDA counts them: those that were made visible, or those of the driver.
fn graphics() -> u64 {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let count = match visible {
        Some(names) => names.split(',').filter(|name| !name.is_empty()).count(),
        None => (0..)
            .take_while(|it| std::path::Path::new(&format!("/dev/nvidia{it}")).exists())
            .count(),
    };
    count as u64
}
