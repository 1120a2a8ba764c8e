//! Attempting misses, here or on workers.

use std::sync::Arc;

use super::job::{Attempt, Missed};
use super::{Problem, Report, Schedule};
use crate::compute::Computed;
use crate::event::Event;
use crate::flight;
use crate::graph::Failure;
use crate::parked::{Attempted, Coming};

impl Schedule<'_> {
    /// Whether what is next may be run on this thread, which asks for no interrupt meanwhile.
    pub(super) fn runs_here(&self) -> bool {
        let next = self.missed.front();
        next.is_none_or(|(number, _)| self.nodes[*number].node.body.notices_interrupts())
    }

    /// Runs the only thing there is to do on this thread.
    pub(super) fn run_here(&mut self) {
        if let Some((number, missed)) = self.missed.pop_front()
            && let Some(taken) = self.keyed_inputs(number)
        {
            let coming = self.begin(number);
            let begins = || self.tell_started(number);
            let attempt = Attempt {
                missed: missed.clone(),
                taken: &taken,
                begins: has_waited(&coming).then_some(&begins as _),
                coming,
                lineage: flight::lineage(),
                interrupted: self.options.interrupted,
            };
            let attempted = self.job(number).attempt(attempt);
            self.receive(number, missed, attempted);
        }
    }

    /// Hands misses to free workers. Whether one ran here: there is no worker then, and nobody
    /// else who would begin the next.
    pub(super) fn start(&mut self) -> bool {
        while self.running < self.options.workers.max(1) {
            let Some((number, missed)) = self.next_with_room() else {
                return false;
            };
            let Some(taken) = self.keyed_inputs(number) else {
                continue;
            };
            if !self.workers.are_there(self.running) {
                // The system allows no thread: everything runs here.
                self.missed.push_front((number, missed));
                self.run_here();
                return true;
            }
            let (coming, job) = (self.begin(number), self.job(number));
            let (done, above) = (self.done.0.clone(), flight::lineage());
            let stop = self.workers.stop_flag();
            self.workers.run(Box::new(move || {
                if stop.is_set() {
                    return;
                }
                // Nobody listens if the run was interrupted.
                let begins = || _ = done.send(Report::Started(number));
                let attempt = Attempt {
                    missed: missed.clone(),
                    taken: &taken,
                    begins: has_waited(&coming).then_some(&begins as _),
                    coming,
                    lineage: Arc::clone(&above),
                    interrupted: &|| stop.is_set(),
                };
                // The run waits for what is put aside, and this thread does not.
                let attempted = flight::on_behalf_of(above, || job.attempt(attempt));
                // What it holds goes before anybody hears of its end: the run may be over then.
                drop((job, taken));
                _ = done.send(Report::Attempted(number, missed, Box::new(attempted)));
            }));
            self.running += 1;
        }
        false
    }

    pub(super) fn receive(&mut self, number: usize, missed: Missed, attempted: Attempted) {
        self.release_room(number);
        match attempted {
            Attempted::Done(computed) => match *computed {
                Computed::Failed(Failure::Again { after, message }, _) => {
                    self.put_off(number, missed, after, message);
                }
                computed => self.take_in(number, computed),
            },
            Attempted::Parked(parked) => self.put_aside(number, missed, parked),
        }
    }

    fn take_in(&mut self, number: usize, computed: Computed) {
        match computed {
            Computed::Settled(settled) => self.close(number, Ok(settled)),
            Computed::Expanded(expansion, unfinished) => {
                self.expand(number, expansion, *unfinished);
            }
            Computed::Failed(Failure::Lost { edge, loss, reason }, _) => {
                self.recover(number, edge, loss, &reason);
            }
            Computed::Failed(Failure::Cancelled, _) => self.stopped = true,
            Computed::Failed(failure, ran) => {
                self.nodes[number].ran = Some(ran);
                self.close(number, Err(Problem::Failed(failure)));
            }
        }
    }

    /// An operation is attempted. One that has waited may have to go on waiting: that it began is
    /// told when its body does.
    fn begin(&mut self, number: usize) -> Coming {
        self.nodes[number].began = self.reopened;
        self.take_room(number);
        if let Some(parked) = self.resumed.remove(&number) {
            return Coming::Again(parked);
        }
        self.behind.remove(&number);
        self.tell_started(number);
        if self.nodes[number].is_apart { Coming::Beside } else { Coming::First }
    }

    pub(super) fn tell_started(&self, number: usize) {
        let operation = self.nodes[number].node.operation.name().to_owned();
        self.tell(&Event::Started { number, operation });
    }
}

/// Whether it was told before that the operation began, which then waited.
fn has_waited(coming: &Coming) -> bool {
    matches!(coming, Coming::Again(_))
}
