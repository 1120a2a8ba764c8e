//! One part of a file over another: what the upper does not say itself, the lower says.
//!
//! Each struct of the format is taken apart by name, so that a new field does not compile until
//! it is decided how it is laid over another.

use crate::document::{Cache, Document, Matrix, Operation, Param, Preset, Table};

/// Something that may stand over something else of its kind.
pub(crate) trait Layer {
    /// Takes over what it does not say itself.
    fn over(&mut self, lower: Self);
}

impl Layer for Document {
    fn over(&mut self, lower: Self) {
        let Self {
            description,
            include: _,
            presets,
            params,
            env,
            cache,
            seed,
            schedule,
            inputs,
            on_failure,
            operations,
            outputs,
        } = lower;
        or(&mut self.description, description);
        by_name(&mut self.presets, presets);
        by_name(&mut self.params, params);
        under(&mut self.env, env);
        self.cache.over(cache);
        or(&mut self.seed, seed);
        or(&mut self.on_failure, on_failure);
        or(&mut self.schedule, schedule);
        under(&mut self.inputs, inputs);
        by_name(&mut self.operations, operations);
        under(&mut self.outputs, outputs);
    }
}

impl Layer for Preset {
    fn over(&mut self, lower: Self) {
        let Self { description, params, env, cache, operations } = lower;
        or(&mut self.description, description);
        by_name(&mut self.params, params);
        under(&mut self.env, env);
        self.cache.over(cache);
        by_name(&mut self.operations, operations);
    }
}

impl Layer for Operation {
    fn over(&mut self, lower: Self) {
        let Self {
            description,
            run,
            task,
            operations,
            uses,
            params,
            inputs,
            outputs,
            code,
            env,
            needs,
            cache,
            seed,
            image,
            resources,
            matrix,
            seeds,
            partitions,
            aggregate,
            joins,
            retries,
            on_failure,
            checkpoints,
            artifacts,
            tags,
            timeout,
        } = lower;
        // What does something else takes the place of what was done.
        if self.run.is_none() && self.task.is_none() && self.uses.is_none() {
            by_name(&mut self.operations, operations);
            if self.operations.is_empty() {
                (self.run, self.task, self.uses) = (run, task, uses);
            }
        }
        or(&mut self.description, description);
        under(&mut self.params, params);
        under(&mut self.inputs, inputs);
        under(&mut self.outputs, outputs);
        list(&mut self.code, code);
        under(&mut self.env, env);
        list(&mut self.needs, needs);
        self.cache.over(cache);
        or(&mut self.seed, seed);
        under(&mut self.joins, joins);
        or(&mut self.image, image);
        or(&mut self.resources, resources);
        match (&mut self.matrix, matrix) {
            (Some(upper), Some(lower)) => upper.value.over(lower.value),
            (upper, lower) => or(upper, lower),
        }
        or(&mut self.seeds, seeds);
        or(&mut self.partitions, partitions);
        list(&mut self.aggregate, aggregate);
        or(&mut self.retries, retries);
        or(&mut self.on_failure, on_failure);
        or(&mut self.checkpoints, checkpoints);
        or(&mut self.artifacts, artifacts);
        list(&mut self.tags, tags);
        or(&mut self.timeout, timeout);
    }
}

impl Layer for Matrix {
    fn over(&mut self, lower: Self) {
        let Self {
            kind,
            params,
            values,
            tuner,
            runs,
            seed,
            concurrency,
            metric,
            early_stopping,
            resource,
            eta,
            resume,
        } = lower;
        // The fields of another kind make no sense here.
        if self.kind.is_some() {
            return;
        }
        self.kind = kind;
        under(&mut self.params, params);
        or(&mut self.values, values);
        or(&mut self.tuner, tuner);
        or(&mut self.runs, runs);
        or(&mut self.seed, seed);
        or(&mut self.concurrency, concurrency);
        or(&mut self.metric, metric);
        list(&mut self.early_stopping, early_stopping);
        or(&mut self.resource, resource);
        or(&mut self.eta, eta);
        or(&mut self.resume, resume);
    }
}

impl Layer for Cache {
    fn over(&mut self, lower: Self) {
        let Self { disable, ttl, expires, version, salt, io, sections, serialize, on_failure } =
            lower;
        or(&mut self.disable, disable);
        or(&mut self.ttl, ttl);
        or(&mut self.expires, expires);
        or(&mut self.version, version);
        or(&mut self.salt, salt);
        or(&mut self.io, io);
        or(&mut self.sections, sections);
        or(&mut self.serialize, serialize);
        or(&mut self.on_failure, on_failure);
    }
}

impl Layer for Param {
    fn over(&mut self, lower: Self) {
        let Self { kind, default, choices, help } = lower;
        // A type that was not said is that of the default that stood with it.
        let kind = kind.or_else(|| Self { default: default.clone(), ..Self::empty() }.kind());
        or(&mut self.kind, kind);
        or(&mut self.default, default);
        or(&mut self.choices, choices);
        or(&mut self.help, help);
    }
}

fn or<T>(upper: &mut Option<T>, lower: Option<T>) {
    if upper.is_none() {
        *upper = lower;
    }
}

fn list<T>(upper: &mut Vec<T>, lower: Vec<T>) {
    if upper.is_empty() {
        *upper = lower;
    }
}

/// Tables whose entries are laid over each other, in the order of the lower.
fn by_name<T: Layer>(upper: &mut Table<T>, lower: Table<T>) {
    for (name, mut entry) in std::mem::replace(upper, lower) {
        let place = upper.get_index_of(&name).unwrap_or(upper.len());
        if let Some((_, lower)) = upper.shift_remove_index(place) {
            entry.value.over(lower.value);
        }
        upper.shift_insert(place, name, entry);
    }
}

/// Tables whose entries take each other's place.
fn under<T>(upper: &mut Table<T>, lower: Table<T>) {
    let own = std::mem::replace(upper, lower);
    upper.extend(own);
}
