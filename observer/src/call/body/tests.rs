//! Requests and answers as servers see them, and what is read of them.

use httparse::Header;
use proptest::prelude::*;

use super::*;
use crate::call::{ErrorSource, OperationKind};
use crate::protocol::Coding;

const LIMIT: usize = 1 << 16;

fn peek(kind: ContentKind, text: &str) -> Peek {
    let mut peek = Peek::new(Content {
        kind,
        coding: Coding::Identity,
    });
    peek.push(text.as_bytes());
    peek
}

fn hint(path: &str, query: Option<&str>, fields: &[(&str, &str)]) -> Hint {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| Header {
            name,
            value: value.as_bytes(),
        })
        .collect();
    Hint::of("POST", path, query, &fields).map_or_else(Hint::default, |hint| *hint)
}

/// Kind, name and count of an operation, and the login, as one text.
fn shown(asked: Asked) -> String {
    let Asked { operation, login } = asked;
    let operation = operation.map_or(String::new(), |operation| {
        let count = operation
            .count
            .map_or("?".to_owned(), |count| count.to_string());
        format!("{}:{}:{count}", operation.kind.as_str(), operation.name)
    });
    format!(
        "{operation}{}",
        login.map_or(String::new(), |login| format!(" login={login}"))
    )
}

fn asked(kind: ContentKind, text: &str) -> String {
    shown(read_request(
        Hint::default(),
        &peek(kind, text),
        true,
        LIMIT,
    ))
}

fn told(text: &str, operation: Option<OperationKind>, status: u16) -> String {
    let kind = if text.starts_with('<') {
        ContentKind::Xml
    } else {
        ContentKind::Json
    };
    let error = read_answer(&peek(kind, text), operation, false, Some(status), LIMIT);
    error.map_or(String::new(), |error| {
        format!("{}:{}", error.source.as_str(), error.code)
    })
}

const SOAP: &str = r#"<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">
<s:Header><w:Security xmlns:w="x"><w:UsernameToken><w:Username>ann</w:Username><w:Password>hunter2</w:Password>
</w:UsernameToken></w:Security></s:Header><s:Body wsu:Id="b"><!-- c --><m:GetPrice xmlns:m="urn:m"><m:Item>a</m:Item></m:GetPrice></s:Body></s:Envelope>"#;

#[test]
fn operations_are_named_by_bodies() {
    use ContentKind::{Form, GraphQl, Json, Multipart, Unlabelled, Xml};
    for (kind, text, expected) in [
        (
            Json,
            r#"{"jsonrpc":"2.0","method":"eth_call","params":[],"id":1}"#,
            "jsonrpc:eth_call:1",
        ),
        (
            Json,
            r#"{"method":"echo","params":["x"],"id":null}"#,
            "jsonrpc:echo:1",
        ),
        (
            Unlabelled,
            r#" {"jsonrpc":"2.0","method":"a","id":1}"#,
            "jsonrpc:a:1",
        ),
        (
            Json,
            r#"[{"jsonrpc":"2.0","method":"sum","id":1},{"foo":"boo"},{"jsonrpc":"2.0","method":"get"}]"#,
            "jsonrpc:sum, get:2",
        ),
        (Json, r#"{"method":"card","amount":5}"#, ""),
        (Json, r#"{"jsonrpc":"2.0","method":1}"#, ""),
        (Json, r#"{"query":"query Me { me }"}"#, "graphql:query Me:1"),
        (
            Json,
            r#"{"operationName":"B","variables":{"query":"x"},"query":"query A { a }\nmutation B { b }"}"#,
            "graphql:mutation B:1",
        ),
        (
            Json,
            r#"[{"query":"query A { a }"},{"query":"{ b }"}]"#,
            "graphql:query A, query:2",
        ),
        (
            Json,
            r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"38e5db2aba25efef4729e1990cc7687d"}}}"#,
            "graphql:persisted 38e5db2aba25:1",
        ),
        (Json, r#"{"query":"SELECT * FROM users","id":3}"#, ""),
        (GraphQl, "subscription S { s }", "graphql:subscription S:1"),
        (
            Multipart,
            "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{\"query\":\"mutation U { u }\"}\r\n--b--\r\n",
            "graphql:mutation U:1",
        ),
        (
            Form,
            "Action=DescribeInstances&Version=2016-11-15",
            "aws:DescribeInstances:1",
        ),
        (Form, "Action=delete&id=4", ""),
        (
            Xml,
            "<?xml version=\"1.0\"?>\n<methodCall><methodName>wp.getPosts</methodName><params/></methodCall>",
            "xmlrpc:wp.getPosts:1",
        ),
        (Xml, SOAP, "soap:GetPrice:1 login=ann"),
        (Xml, "<Envelope><Body><a/></Body></Envelope>", ""),
        (Xml, "<order><id>1</id></order>", ""),
    ] {
        assert_eq!(asked(kind, text), expected, "{text}");
    }
}

#[test]
fn operations_are_named_by_heads() {
    for (path, query, fields, expected) in [
        (
            "/",
            None,
            &[("X-Amz-Target", "DynamoDB_20120810.GetItem")][..],
            "aws:DynamoDB_20120810.GetItem:1",
        ),
        (
            "/",
            Some("Action=ListUsers&Version=2010-05-08"),
            &[],
            "aws:ListUsers:1",
        ),
        (
            "/s",
            None,
            &[("SOAPAction", "\"http://x.example/Svc#Get\"")],
            "soap:Get:1",
        ),
        (
            "/s",
            None,
            &[("Content-Type", "application/soap+xml; action=\"urn:x:Put\"")],
            "soap:Put:1",
        ),
        (
            "/graphql",
            Some("query=query%20A%7Ba%7D"),
            &[],
            "graphql:query A:1",
        ),
        (
            "/graphql",
            Some(
                "operationName=Q&extensions=%7B%22persistedQuery%22%3A%7B%22sha256Hash%22%3A%22abcdefabcdef00%22%7D%7D",
            ),
            &[],
            "graphql:persisted abcdefabcdef Q:1",
        ),
        ("/search", Some("query=shoes"), &[], ""),
        ("/odata/$batch", None, &[], "odata:$batch:?"),
    ] {
        assert_eq!(
            shown(hint(path, query, fields).without_body()),
            expected,
            "{path} {query:?}"
        );
    }
}

#[test]
fn batches_of_odata_are_counted() {
    let text = "--b\r\nContent-Type: application/http\r\n\r\nGET Orders(1) HTTP/1.1\r\n\r\n\r\n\
        --b\r\nContent-Type: application/http\r\n\r\nGET Customers HTTP/1.1\r\n\r\n--b--\r\n";
    let batch = || hint("/odata/$batch", None, &[]);
    let parts = read_request(batch(), &peek(ContentKind::Multipart, text), true, LIMIT);
    assert_eq!(shown(parts), "odata:$batch:2");
    let text = r#"{"requests":[{"id":"0","method":"GET","url":"a"},{"id":"1","method":"GET","url":"b"},{"id":"2"}]}"#;
    let json = read_request(batch(), &peek(ContentKind::Json, text), true, LIMIT);
    assert_eq!(shown(json), "odata:$batch:3");
}

#[test]
fn a_body_that_was_not_seen_whole_has_no_count() {
    let text = r#"[{"jsonrpc":"2.0","method":"a","id":1},{"jsonrpc":"2.0","meth"#;
    let cut = read_request(
        Hint::default(),
        &peek(ContentKind::Json, text),
        false,
        LIMIT,
    );
    assert_eq!(shown(cut), "jsonrpc:a:?");
}

#[test]
fn a_login_is_told_by_its_user_and_never_its_password() {
    use ContentKind::{Form, Json};
    for (kind, text, expected) in [
        (
            Json,
            r#"{"username":"ann","password":"hunter2"}"#,
            " login=ann",
        ),
        (
            Json,
            r#"{"user":{"email":"ann@x.example","password":"hunter2"}}"#,
            " login=ann@x.example",
        ),
        (
            Json,
            r#"{"login":"l","password":"p","username":"u"}"#,
            " login=u",
        ),
        (
            Form,
            "j_username=ann%40x&j_password=hunter2",
            " login=ann@x",
        ),
        (
            Form,
            "grant_type=client_credentials&client_id=app&client_secret=hunter2",
            " login=app",
        ),
        (Json, r#"{"username":"ann","email":"a"}"#, ""),
        (Json, r#"{"password":"hunter2"}"#, ""),
        (Json, r#"{"username":{"x":1},"password":"hunter2"}"#, ""),
    ] {
        assert_eq!(asked(kind, text), expected, "{text}");
    }
}

#[test]
fn errors_are_told_by_their_convention() {
    use OperationKind::{GraphQl, JsonRpc};
    let soap = |fault: &str| {
        format!(
            "<e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Body><e:Fault>{fault}</e:Fault></e:Body></e:Envelope>"
        )
    };
    for (text, operation, status, expected) in [
        (
            r#"{"error":"invalid_grant","error_description":"x"}"#,
            None,
            400,
            "oauth:invalid_grant",
        ),
        (
            r#"{"error":"invalid_token"}"#,
            None,
            401,
            "oauth:invalid_token",
        ),
        (r#"{"error":"Not Found"}"#, None, 404, "json:"),
        (
            r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#,
            None,
            403,
            "json:PERMISSION_DENIED",
        ),
        (
            r#"{"error":{"code":"AuthenticationFailed"}}"#,
            None,
            401,
            "json:AuthenticationFailed",
        ),
        (
            r#"{"type":"about:blank","title":"x","status":404}"#,
            None,
            404,
            "",
        ),
        (
            r#"{"type":"https://x.example/probs/no-credit"}"#,
            None,
            403,
            "json:https://x.example/probs/no-credit",
        ),
        (
            r#"{"code":"unauthenticated","message":"m"}"#,
            None,
            401,
            "json:unauthenticated",
        ),
        (r#"{"code":40101,"message":"m"}"#, None, 401, "json:40101"),
        (r#"{"id":1,"code":"x"}"#, None, 200, ""),
        (
            r#"{"data":null,"errors":[{"message":"m","extensions":{"code":"UNAUTHENTICATED"}}]}"#,
            Some(GraphQl),
            200,
            "graphql:UNAUTHENTICATED",
        ),
        (
            r#"{"errors":[{"type":"FORBIDDEN","message":"m"}],"data":{}}"#,
            Some(GraphQl),
            200,
            "graphql:FORBIDDEN",
        ),
        (
            r#"{"errors":[{"message":"m"}]}"#,
            Some(GraphQl),
            200,
            "graphql:",
        ),
        (r#"{"data":{"errors":[{"x":1}]}}"#, Some(GraphQl), 200, ""),
        (
            r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"m"},"id":1}"#,
            Some(JsonRpc),
            200,
            "jsonrpc:-32601",
        ),
        (
            r#"{"jsonrpc":"2.0","result":{"error":{"code":1}},"id":1}"#,
            Some(JsonRpc),
            200,
            "",
        ),
        (
            r#"{"__type":"com.amazonaws.x#AccessDeniedException"}"#,
            None,
            400,
            "aws:AccessDeniedException",
        ),
        (
            "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>",
            None,
            403,
            "aws:SignatureDoesNotMatch",
        ),
        (
            "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>",
            None,
            404,
            "aws:NoSuchKey",
        ),
        (
            "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>403</int></value></member></struct></value></fault></methodResponse>",
            None,
            200,
            "xmlrpc:403",
        ),
        (
            &soap("<faultcode>e:Client</faultcode><faultstring>x y</faultstring>"),
            None,
            200,
            "soap:e:Client",
        ),
        (
            &soap(
                "<e:Code><e:Value>e:Sender</e:Value><e:Subcode><e:Value>w:FailedAuthentication</e:Value></e:Subcode></e:Code>",
            ),
            None,
            500,
            "soap:w:FailedAuthentication",
        ),
        (
            &soap("<faultstring>hunter2</faultstring>"),
            None,
            500,
            "soap:",
        ),
        (SOAP, None, 200, ""),
    ] {
        assert_eq!(told(text, operation, status), expected, "{text}");
    }
}

#[test]
fn errors_are_told_by_fields() {
    let told = |name: &str, value: &str| {
        let fields = [Header {
            name,
            value: value.as_bytes(),
        }];
        told_in_fields(&fields).map(|error| (error.source, error.code))
    };
    for (value, expected) in [
        (
            "Bearer realm=\"x\", error=\"invalid_token\", error_description=\"d\"",
            Some("invalid_token"),
        ),
        (
            "bearer error=insufficient_scope",
            Some("insufficient_scope"),
        ),
        ("Bearer my_error=\"no\"", None),
        ("Basic realm=\"error=no\"", None),
    ] {
        let expected = expected.map(|code| (ErrorSource::OAuth, code.into()));
        assert_eq!(told("WWW-Authenticate", value), expected, "{value}");
    }
    assert_eq!(
        told(
            "x-amzn-ErrorType",
            "ThrottlingException:http://internal.amazon.com/"
        ),
        Some((ErrorSource::Aws, "ThrottlingException".into()))
    );
}

#[test]
fn answers_to_logins_are_read_whatever_their_status() {
    let read = |text, login| {
        read_answer(
            &peek(ContentKind::Json, text),
            None,
            login,
            Some(200),
            LIMIT,
        )
    };
    assert!(read(r#"{"success":false,"message":"m"}"#, true).is_some());
    assert!(read(r#"{"success":false}"#, false).is_none());
    assert!(read(r#"{"success":true,"code":0}"#, true).is_none());
}

const KINDS: [ContentKind; 6] = [
    ContentKind::Json,
    ContentKind::Xml,
    ContentKind::Form,
    ContentKind::Multipart,
    ContentKind::GraphQl,
    ContentKind::Unlabelled,
];

proptest! {
    #[test]
    fn any_body_is_read_in_bounds(
        kind in prop::sample::select(KINDS.to_vec()),
        text in "([{}\\[\\]\",:<>/=&%a-z ]|query|\"jsonrpc\"|\"method\":|<methodName>|Action=|\\r\\n){0,80}",
        status in 100u16..600,
    ) {
        let Asked { operation, login } = read_request(Hint::default(), &peek(kind, &text), true, LIMIT);
        prop_assert!(operation.is_none_or(|operation| operation.name.chars().count() <= 8 * 300));
        prop_assert!(login.is_none_or(|login| login.chars().count() <= 128));
        if let Some(error) = read_answer(&peek(kind, &text), None, true, Some(status), LIMIT) {
            prop_assert!(error.code.len() <= 64);
        }
    }
}
