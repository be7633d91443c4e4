//! The Python module `trunkline._media`: one class, plain data in, plain data out.
//!
//! Owns the conversion at the border and nothing else. The only module that knows Python; no packet comes here.

mod convert;
mod engine;
mod figures;

use pyo3::prelude::*;

/// Trunkline's media plane, as `trunkline._media`.
#[pymodule]
fn _media(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<engine::Engine>()
}
