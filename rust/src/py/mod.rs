//! The Python module `trunkline._media`: one class and a question, plain data in, plain data out.
//!
//! Owns the conversion at the border and nothing else. The only module that knows Python; no packet comes here.

mod convert;
mod engine;
mod figures;
mod sip;
mod values;

use pyo3::prelude::*;

/// Whether Speex can be coded: libspeex is installed. Looks for it at the first call.
#[pyfunction]
fn is_speex_available() -> bool {
    crate::codecs::is_speex_available()
}

/// Trunkline's media plane, as `trunkline._media`.
#[pymodule]
fn _media(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(is_speex_available, module)?)?;
    sip::register(module)?;
    module.add_class::<engine::Engine>()
}
