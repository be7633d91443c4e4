//! SIP's text: what a message and its headers are cut into. What is refused, and how that is answered, `tests/sip` shows.

use trunkline_media::sip::{
    Error, HeaderId, Headers, Key, MAX_HEADERS, NameAddr, Start, Text, Trouble, Uri, Via, list, read, split_outside,
};

fn message(start_line: &str, extra: &str) -> Vec<u8> {
    let fields = "Via: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\ni: c\r\nCSeq: 1 OPTIONS\r\n";
    format!("{start_line}\r\n{fields}{extra}\r\nbody and more").into_bytes()
}

fn texts<'a>(values: impl Iterator<Item = &'a Text>) -> Vec<&'a str> {
    values.map(|value| std::str::from_utf8(value).unwrap()).collect()
}

#[test]
fn folded_lines_and_compact_names_are_written_out() {
    let data = message("OPTIONS sip:b@h SIP/2.0", "s: one\r\n \t two\r\nX-Own: 3\r\nl: 4\r\n");
    let message = read(&data).unwrap();
    assert_eq!(message.trouble, None);
    assert_eq!(message.body, b"body");
    assert_eq!(texts(message.headers.values(Key::of(b"SUBJECT"))), ["one two"]);
    assert_eq!(texts(message.headers.values(Key::of(b"x-own"))), ["3"]);
    assert_eq!(texts(message.headers.values(HeaderId::CallId.into())), ["c"]);
    let names = message.headers.iter().map(|(name, _)| name);
    assert_eq!(texts(names).join(" "), "Via From To Call-ID CSeq Subject X-Own Content-Length");
}

#[test]
fn a_request_with_an_error_inside_comes_with_what_it_takes_to_answer_it() {
    let data = message("OPTIONS sip:b@h SIP/3.0", "");
    assert_eq!(read(&data).unwrap().trouble, Some(Trouble::Version("3.0".to_owned())));
    let data = message("OPTIONS sip:b@h:0 SIP/2.0", "");
    let message = read(&data).unwrap();
    assert_eq!(message.trouble, Some(Trouble::Syntax(Error::Port("0".to_owned()))));
    assert!(matches!(&message.start, Start::Request(method, uri) if **method == *b"OPTIONS" && **uri == *b"sip:b@h:0"));
    assert_eq!(message.headers.one(HeaderId::CSeq).map(|value| value.to_vec()), Ok(b"1 OPTIONS".to_vec()));
}

#[test]
fn what_nobody_can_answer_is_an_error() {
    let cases = [
        (message("OPTIONS", ""), "neither a request line nor a status line"),
        (message("SIP/2.0 200 OK", "To: <sip:c@h>\r\n"), "more than one To"),
        (message("SIP/2.0 200 OK", "X: a\nb\r\n"), "CR or LF alone"),
        (message("SIP/2.0 200 OK", &"X: a\r\n".repeat(MAX_HEADERS)), "too many headers"),
        (b"OPTIONS sip:b@h SIP/2.0\r\n".to_vec(), "no end of the headers"),
    ];
    for (data, error) in cases {
        assert_eq!(read(&data).err().map(|error| error.to_string()).as_deref(), Some(error));
    }
}

#[test]
fn a_response_begins_with_what_the_request_had() {
    let data = message("OPTIONS sip:b@h SIP/2.0", "v: SIP/2.0/UDP older\r\nTimestamp: 9\r\n");
    let request = read(&data).unwrap().headers;
    assert!(request.may_be_tagged());
    let written = Headers::of_response(&request, Some(b"2"), true).write(b"SIP/2.0 200 OK", b"x");
    let expected = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nVia: SIP/2.0/UDP older\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nTimestamp: 9\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

#[test]
fn quotes_and_angle_brackets_hide_separators() {
    let values = [&b"\"a,\\\"b\" <sip:x@h;p=1,2>, <sip:y@h>"[..], b"", b"<sip:z@h>"];
    let found: Vec<_> = list(values.into_iter()).map(|value| NameAddr::parse(value.unwrap()).unwrap()).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(&*found[0].display_name, b"a,\"b");
    let Uri::Sip(uri) = &found[0].uri else { panic!("a sip: URI") };
    assert_eq!(uri.parameters().collect::<Vec<_>>(), [(&b"p"[..], Some(&b"1,2"[..]))]);
    assert!(split_outside(b"a;\"b", b';').any(|piece| piece.is_err()));
}

#[test]
fn a_via_has_blanks_where_the_grammar_lets_them_be() {
    let via = Via::parse(b"SIP / 2.0 / tls [2001:db8::1] : 5061 ; branch=z9hG4bKx;rport").unwrap();
    assert_eq!((via.transport, via.host, via.port), (&b"tls"[..], &b"2001:db8::1"[..], Some(5061)));
    assert_eq!(via.parameters.get(b"BRANCH"), Some(&b"z9hG4bKx"[..]));
    assert_eq!(via.parameters.iter().nth(1), Some((&b"rport"[..], None)));
}
