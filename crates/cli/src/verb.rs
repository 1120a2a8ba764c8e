//! One file a verb.

pub(crate) mod check;
pub(crate) mod clear;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod fsck;
pub(crate) mod gc;
pub(crate) mod invalidate;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod pin;
pub(crate) mod recover;
pub(crate) mod replay;
pub(crate) mod restart;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schedule;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod why;
