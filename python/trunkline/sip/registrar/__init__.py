"""Our side of REGISTER: who may be called where.   RFC 3261 section 10.3, RFC 5626, RFC 7118."""

from trunkline.sip.registrar.bindings import Binding, BindingLimits, Bindings
from trunkline.sip.registrar.form import Q_MOST, Refusal, RegisterForm, read_form
from trunkline.sip.registrar.login import UNHEARD, WRONG, Admission, LoginDesk, Reply

__all__ = [
    "Q_MOST",
    "UNHEARD",
    "WRONG",
    "Admission",
    "Binding",
    "BindingLimits",
    "Bindings",
    "LoginDesk",
    "Refusal",
    "RegisterForm",
    "Reply",
    "read_form",
]
