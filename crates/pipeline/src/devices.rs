//! Which graphics processors a command uses, where several run at once.

use parking_lot::Mutex;

/// The graphics processors that no command uses, by the names that CUDA has for them.
#[derive(Debug, Default)]
pub(crate) struct Devices(Mutex<Vec<String>>);

/// Graphics processors of one command. They are free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    from: &'a Devices,
    pub(crate) names: Vec<String>,
}

impl Devices {
    /// So many: those that the caller may use first, then by number.
    pub(crate) fn new(count: u64, visible: Option<&str>) -> Self {
        let visible = visible.unwrap_or_default().split(',').filter(|name| !name.is_empty());
        let mut names: Vec<String> = visible.map(str::to_owned).collect();
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(MOST);
        let numbers: Vec<_> =
            (0..count).map(|it| it.to_string()).filter(|it| !names.contains(it)).collect();
        names.extend(numbers);
        names.truncate(count);
        // Taken from the end.
        names.reverse();
        Self(Mutex::new(names))
    }

    /// So many of those that are free. The schedule starts no command for which there are too few.
    pub(crate) fn lend(&self, count: u64) -> Lent<'_> {
        let mut free = self.0.lock();
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(free.len());
        let rest = free.len() - count;
        let mut names = free.split_off(rest);
        names.reverse();
        Lent { from: self, names }
    }
}

/// More than any machine has.
const MOST: usize = 1024;

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.from.0.lock().extend(self.names.drain(..).rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_device_is_lent_twice() {
        let devices = Devices::new(3, Some("GPU-a,7"));
        let first = devices.lend(2);
        assert_eq!(first.names, ["GPU-a", "7"]);
        let second = devices.lend(1);
        assert_eq!(second.names, ["0"]);
        drop(first);
        assert_eq!(devices.lend(2).names, ["GPU-a", "7"]);
        drop(second);
        assert_eq!(devices.lend(9).names.len(), 3);
        assert_eq!(Devices::new(1, Some("3,4")).lend(1).names, ["3"]);
        assert!(Devices::default().lend(0).names.is_empty());
    }
}
