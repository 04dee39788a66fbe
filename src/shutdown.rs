//! Stopping in the direction the data flows, so nothing is produced that nobody will carry.

use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One stretch of the pipeline: listeners, writer, delivery.
#[derive(Clone, Debug)]
pub struct Stage {
    name: &'static str,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Stage {
    /// A stage with nothing running in it.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, stop: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// Fires when the stage's tasks must end in good order.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task in this stage. The task ends itself when [`Stage::stop`] fires.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// As [`Stage::spawn`], in another runtime.
    pub fn spawn_on<F>(&self, task: F, runtime: &Handle)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn_on(task, runtime);
    }

    /// Tells the tasks to stop and waits for them; tells when some outlived `grace`.
    pub async fn finish(self, grace: Duration) -> Result<(), Overdue> {
        self.stop.cancel();
        self.tasks.close();
        let emptied = timeout(grace, self.tasks.wait()).await;
        emptied.map_err(|_| Overdue { stage: self.name, tasks: self.tasks.len() })
    }
}

/// A stage that did not empty in time. What it held is on the devices' side or on disk.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{tasks} tasks in `{stage}` outlived the grace period")]
pub struct Overdue {
    stage: &'static str,
    tasks: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_late_task_is_named_and_an_orderly_one_is_waited_for() {
        let stage = Stage::new("listeners");
        let stop = stage.stop().clone();
        stage.spawn(async move { stop.cancelled().await });
        assert_eq!(stage.finish(Duration::from_secs(1)).await, Ok(()));

        let stage = Stage::new("delivery");
        stage.spawn(std::future::pending());
        let late = Overdue { stage: "delivery", tasks: 1 };
        assert_eq!(stage.finish(Duration::from_secs(1)).await, Err(late));
    }
}
