//! The one class of the module.

use std::os::fd::{AsRawFd, RawFd};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::bridge::CallId;
use crate::engine::{self, Request, RequestId};

use super::convert;

/// The media engine: started by its construction, ended by `shutdown`.
#[pyclass(frozen, module = "trunkline._media")]
pub(super) struct Engine {
    inner: engine::Engine,
}

#[pymethods]
impl Engine {
    /// Starts the worker threads. settings: an `EngineSettings` of `trunkline.media.types`.
    #[new]
    fn new(py: Python<'_>, settings: &Bound<'_, PyAny>) -> PyResult<Self> {
        let config = convert::config(settings)?;
        let inner = py.detach(|| engine::Engine::start(config)).map_err(|error| convert::raise(py, &error))?;
        Ok(Self { inner })
    }

    /// Names a call, so that a worker that lives will have it.
    fn new_call(&self) -> u64 {
        self.inner.new_call().0
    }

    /// Hands one command to the worker of `call_id`, without waiting; it looks at the latest after `flush`.
    fn submit(&self, py: Python<'_>, request_id: u64, call_id: u64, command: &Bound<'_, PyAny>) -> PyResult<()> {
        let command = convert::command(command)?;
        let request = Request { id: RequestId(request_id), call: CallId(call_id), command };
        self.inner.queue(request).map_err(|error| convert::raise(py, &error))
    }

    /// Wakes the workers that have been handed commands.
    fn flush(&self) {
        self.inner.wake_workers();
    }

    /// Takes up to `max` events, each as its dataclass. Never waits.
    fn poll_events<'py>(&self, py: Python<'py>, max: usize) -> PyResult<Bound<'py, PyList>> {
        let mut events = Vec::new();
        self.inner.poll_events(&mut events, max);
        let list = PyList::empty(py);
        for event in events {
            list.append(convert::event(py, event)?)?;
        }
        Ok(list)
    }

    /// A descriptor that is readable while events wait. It belongs to the engine.
    fn event_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }

    /// Counters of all workers since start.
    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        convert::totals(py, &self.inner.totals())
    }

    /// Of the browsers' socket of each worker: bytes of the kernel's buffers for what arrives and for what leaves, and
    /// the DSCP of what it sends.
    fn shared_sockets(&self) -> Vec<(usize, usize, u8)> {
        let sockets = self.inner.shared_sockets().iter();
        sockets.map(|granted| (granted.receive_bytes, granted.send_bytes, granted.dscp)).collect()
    }

    /// Ends every endpoint and thread, within a few seconds. Returns whether all threads ended.
    fn shutdown(&self, py: Python<'_>) -> bool {
        py.detach(|| self.inner.shutdown())
    }
}
