//! Rare states: a campaign proves that it reached each of them.

/// A state that a campaign must reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Mark {
    /// A holder that was overtaken tried to commit, and was refused.
    ZombieRefused,
    /// A lapsed reservation was taken by another process.
    Takeover,
    /// It was taken while its holder was about to commit.
    TakeoverDuringCommit,
    /// A holder whose lease had lapsed committed, since nobody had taken over.
    LapsedCommit,
    /// A commit whose answer was lost was sent again.
    CommitRepeated,
    /// It was sent again after somebody else had to do with its key.
    CommitRepeatedLater,
    /// Somebody wanted a blob that was condemned.
    CondemnedWanted,
    /// A blob that nothing refers to survived a collection by its pin alone.
    PinHeld,
    /// A commit named a blob that had been collected meanwhile.
    BlobGone,
    /// A key was invalidated while it was computed.
    InvalidatedDuringCompute,
    /// A commit was refused because of an invalidation.
    InvalidatedRefused,
    /// What one process replaced, another one replaced that had begun meanwhile.
    ReplacedAgain,
    /// A replacement was refused, since one that began later had been stored.
    ReplacementRefused,
    /// A commit was refused because of what it was made of.
    WholeRefused,
    /// It was refused because of what had been remembered from before its body began.
    RememberedRefused,
    /// It was refused because of what a part of it was made of, which had been evicted itself.
    PartOfEvictedRefused,
    /// A result was removed because of what it was made of.
    WholeRemoved,
    /// Two processes computed one key at the same time, both under a reservation.
    TwoLeaders,
    /// The wall clock was behind the catalog's.
    ClockRatcheted,
    /// A process left the cache alone after failures.
    BreakerOpen,
    /// It tried again.
    BreakerHalfOpen,
    /// It went on as before.
    BreakerClosed,
    /// A process waited for another one's computation and took its answer.
    Waited,
    /// A key whose last execution failed was taken again.
    FailedLeader,
    /// Nobody was given a key that failed again and again.
    PoisonGuard,
    /// A process computed what another one computed that waited for it.
    CircleBroken,
    /// Somebody who waited failed with whom it waited for.
    FailureShared,
    /// Bytes that were damaged were noticed, and the value was computed again.
    DamageNoticed,
    /// The damaged row of an entry was noticed.
    RowNoticed,
    /// A hit whose bytes had been collected was computed again.
    HitLost,
    /// Bytes that nothing referred to were deleted.
    Collected,
    /// Another output than the stored one was computed.
    Nondeterministic,
    /// The caller's process died during a commit.
    CrashDuringCommit,
    /// An answer was taken from memory.
    MemoryHit,
}

impl Mark {
    /// All marks.
    pub const ALL: [Self; 34] = [
        Self::ZombieRefused,
        Self::Takeover,
        Self::TakeoverDuringCommit,
        Self::LapsedCommit,
        Self::CommitRepeated,
        Self::CommitRepeatedLater,
        Self::CondemnedWanted,
        Self::PinHeld,
        Self::BlobGone,
        Self::InvalidatedDuringCompute,
        Self::InvalidatedRefused,
        Self::ReplacedAgain,
        Self::ReplacementRefused,
        Self::WholeRefused,
        Self::RememberedRefused,
        Self::PartOfEvictedRefused,
        Self::WholeRemoved,
        Self::TwoLeaders,
        Self::ClockRatcheted,
        Self::BreakerOpen,
        Self::BreakerHalfOpen,
        Self::BreakerClosed,
        Self::Waited,
        Self::FailedLeader,
        Self::PoisonGuard,
        Self::CircleBroken,
        Self::FailureShared,
        Self::DamageNoticed,
        Self::RowNoticed,
        Self::HitLost,
        Self::Collected,
        Self::Nondeterministic,
        Self::CrashDuringCommit,
        Self::MemoryHit,
    ];
}

/// How often each state was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks([u64; Mark::ALL.len()]);

impl Default for Marks {
    fn default() -> Self {
        Self([0; Mark::ALL.len()])
    }
}

impl Marks {
    /// Counts a state.
    pub fn hit(&mut self, mark: Mark) {
        self.0[mark as usize] += 1;
    }

    /// How often it was reached.
    pub const fn count(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }

    /// Adds the counts of another simulation.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }
}
