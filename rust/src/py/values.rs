//! Values of Python, made from their fields.
//!
//! The classes are frozen dataclasses with slots, defined in Python. Their own `__init__` would set each field by a call
//! of Python; here the slots are filled directly, which is several times cheaper.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

/// A class that is looked up once.
pub(super) type Class = PyOnceLock<Py<PyType>>;

/// An object of a class whose instances need nothing but their fields, without a call of its `__init__`. All fields
/// must be given: defaults are `__init__`'s.
///
/// Tests compare what comes of it with what the classes themselves make.
#[expect(
    unsafe_code,
    reason = "an object without __init__, and its slots past a frozen __setattr__: no safe call for either"
)]
pub(super) fn filled<'py, const N: usize>(
    class: &Bound<'py, PyType>,
    fields: [(&Bound<'py, PyString>, Bound<'py, PyAny>); N],
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    // SAFETY: `class` is a type that lives, and one that Python code defined (the callers name them all): such a type is
    // on the heap, its instances are made by this very function, with all slots empty. It returns an owned reference, or
    // null with an exception set.
    let object = unsafe { Bound::from_owned_ptr_or_err(py, pyo3::ffi::PyType_GenericAlloc(class.as_type_ptr(), 0)) }?;
    for (name, value) in fields {
        // SAFETY: three objects that live; the function takes references of its own to what it keeps.
        let failed = unsafe { pyo3::ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) } != 0;
        if failed {
            return Err(PyErr::fetch(py));
        }
    }
    Ok(object)
}

/// `value!(py, "module", "Class", { "field": value, ... })`: such an object, its fields converted; all of them, see
/// [`filled`].
macro_rules! value {
    ($py:expr, $module:literal, $class:literal, { $($name:literal: $field:expr),* $(,)? }) => {{
        static CLASS: $crate::py::values::Class = pyo3::sync::PyOnceLock::new();
        let class = CLASS.import($py, $module, $class)?;
        let fields = [$((pyo3::intern!($py, $name), pyo3::IntoPyObjectExt::into_bound_py_any($field, $py)?)),*];
        $crate::py::values::filled(class, fields)
    }};
}

pub(super) use value;
