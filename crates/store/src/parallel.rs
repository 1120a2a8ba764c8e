//! Threads for hashing that survive a fork.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicPtr, Ordering};

use rayon::{ThreadPool, ThreadPoolBuilder};
use thrifty_key::{Digest, Hasher};

/// Below this many bytes one core is faster than several.
const WORTH_IT: usize = 128 << 10;
/// How much of a file is read at once.
const BLOCK: usize = 4 << 20;

struct Owned {
    process: u32,
    pool: ThreadPool,
}

/// The threads of this process, which do not exist in a child of a fork.
///
/// Rayon's global pool would make the child wait for ever. The child finds the number of its
/// parent here, leaks what it inherited (its threads are gone, dropping it would wait for them)
/// and makes its own. No lock: a lock held by another thread at the fork would stay locked.
static POOL: AtomicPtr<Owned> = AtomicPtr::new(std::ptr::null_mut());

/// The pool of this process; `None` if the system allows no more threads. What works on all cores
/// by other means, and not inside, hangs in a child of a fork.
pub fn pool() -> Option<&'static ThreadPool> {
    pool_of(std::process::id())
}

fn pool_of(process: u32) -> Option<&'static ThreadPool> {
    let current = POOL.load(Ordering::Acquire);
    // SAFETY: the pointer is null or came from `Box::leak` below and is never freed.
    if let Some(owned) = unsafe { current.as_ref() }.filter(|owned| owned.process == process) {
        return Some(&owned.pool);
    }
    let pool =
        ThreadPoolBuilder::new().thread_name(|n| format!("thrifty-hash-{n}")).build().ok()?;
    let fresh: &'static mut Owned = Box::leak(Box::new(Owned { process, pool }));
    let fresh = std::ptr::from_mut(fresh);
    let winner = match POOL.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        Err(other) => other,
    };
    // SAFETY: both came from `Box::leak` above and are never freed; the loser of the race is
    // leaked with its idle threads, once a process at most.
    Some(&unsafe { &*winner }.pool)
}

/// Adds bytes to a hasher as they are, on all cores where that is faster.
///
/// ```
/// use thrifty_key::{Context, Hasher};
///
/// let bytes = [0; 200_000];
/// let mut hasher = Hasher::new(Context::Value);
/// thrifty_store::parallel::raw(&mut hasher, &bytes);
/// assert_eq!(hasher.finish(), Hasher::new(Context::Value).raw(&bytes).finish());
/// ```
pub fn raw(hasher: &mut Hasher, bytes: &[u8]) {
    match pool().filter(|_| bytes.len() >= WORTH_IT) {
        Some(pool) => pool.install(|| _ = hasher.raw_parallel(bytes)),
        None => _ = hasher.raw(bytes),
    }
}

/// BLAKE3 of pieces as one text, on all cores where that is faster.
#[derive(Default)]
pub(crate) struct Hashing(blake3::Hasher);

impl Hashing {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match pool().filter(|_| bytes.len() >= WORTH_IT) {
            Some(pool) => pool.install(|| self.0.update_rayon(bytes)),
            None => self.0.update(bytes),
        };
    }

    pub(crate) fn finish(&self) -> Digest {
        Digest::from_bytes(*self.0.finalize().as_bytes())
    }
}

/// Digest of the pieces as one text.
pub(crate) fn hash_parts(parts: &[&[u8]]) -> Digest {
    let mut hashing = Hashing::default();
    parts.iter().for_each(|part| hashing.update(part));
    hashing.finish()
}

/// Digest and length of a file, read from its start to its end.
///
/// Reads instead of mapping: a failing disk is an error here, and a signal that kills the process
/// under a map.
pub(crate) fn hash_file(file: &File) -> io::Result<(Digest, u64)> {
    let mut hashing = Hashing::default();
    let length = read_blocks(file, |block| {
        hashing.update(block);
        Ok(())
    })?;
    Ok((hashing.finish(), length))
}

/// Appends a file to another, each block hashed while it is written: digest and length of what
/// was written.
pub(crate) fn copy_file(from: &File, mut to: &File) -> io::Result<(Digest, u64)> {
    let mut hashing = Hashing::default();
    let length = read_blocks(from, |block| {
        both(block.len(), || hashing.update(block), || to.write_all(block)).1
    })?;
    Ok((hashing.finish(), length))
}

/// Hands over a file in pieces, and returns how long it was.
fn read_blocks(file: &File, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut buffer = vec![0; size.saturating_add(1).min(BLOCK)];
    let mut length = 0;
    loop {
        match file.read_at(&mut buffer, length) {
            Ok(0) => return Ok(length),
            Ok(count) => {
                each(&buffer[..count])?;
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Runs both, at once where `bytes` of work make that faster.
pub(crate) fn both<A: Send, B: Send>(
    bytes: usize,
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B + Send,
) -> (A, B) {
    match pool().filter(|_| bytes >= WORTH_IT) {
        Some(pool) => pool.join(one, other),
        None => (one(), other()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_keeps_its_threads_and_a_child_of_a_fork_makes_its_own() {
        let parent = std::process::id();
        let child = parent + 1;
        let (one, two) = (pool_of(parent).unwrap(), pool_of(child).unwrap());
        assert!(!std::ptr::eq(one, two));
        assert!(std::ptr::eq(two, pool_of(child).unwrap()));
        assert_eq!(two.install(|| 7), 7);
    }

    #[test]
    fn pieces_of_any_size_hash_as_one_text() {
        let bytes: Vec<u8> = (0..3 * WORTH_IT).map(|at| (at % 251) as u8).collect();
        let whole = Digest::of_blob(&bytes);
        for at in [0, 1, 1024, WORTH_IT - 1, WORTH_IT, 2 * WORTH_IT + 1, bytes.len()] {
            let (front, back) = bytes.split_at(at);
            assert_eq!(hash_parts(&[front, back]), whole);
        }
    }

    #[test]
    fn a_file_hashes_as_its_bytes_from_the_start_whatever_was_read_before() {
        use std::io::Read;
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1] {
            let bytes = vec![5; length];
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            assert_eq!(file.read(&mut [0; 9]).unwrap(), 0);
            assert_eq!(hash_file(&file).unwrap(), (Digest::of_blob(&bytes), length as u64));
        }
    }
}
