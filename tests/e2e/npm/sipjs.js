// What a page gets by a script tag: the library as its makers publish it, under its usual name.
window.SIP = require("sip.js");
