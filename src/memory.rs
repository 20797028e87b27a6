//! The memory of the machine and of this process.
//!
//! Owns: asking the system for it. Knows nothing of what it is for.

use sysinfo::System;

/// Bytes of main memory that are available; the largest number where the system does not say.
pub fn available() -> u64 {
    let Ok(mut system) = System::new() else {
        return u64::MAX;
    };
    system.refresh_memory();
    let all = system.available_memory();
    let allowed = system
        .cgroup_limits()
        .map_or(all, |limits| limits.free_memory);
    if all == 0 { u64::MAX } else { all.min(allowed) }
}

/// The most bytes of main memory that this process has held at a time, where the system says so (Linux).
pub fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_much_there_is() {
        assert!(available() > 1 << 20);
        if cfg!(target_os = "linux") {
            let held = vec![1u8; 32 << 20];
            assert!(peak().is_some_and(|peak| peak > held.len() as u64));
        }
    }
}
