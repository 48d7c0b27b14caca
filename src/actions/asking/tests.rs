//! What a message becomes with what a backend puts in place of its parts.

use livegate_proto::client::{Element, Gift, Text};

use super::*;

fn text(text: &str) -> Content {
    Content::Text(Text { text: text.into() })
}

fn data(data: &str) -> Replacement {
    Replacement {
        elements: None,
        cloud_custom_data: Some(data.into()),
    }
}

#[test]
fn data_alone_is_put_beside_what_was_said() {
    let Content::Elements(said) = replaced(&text("hi"), data("seen")).unwrap() else {
        panic!("a text with data is a message of parts");
    };
    assert_eq!(said.elements, parts(&text("hi")).elements);
    assert_eq!(said.cloud_custom_data, "seen");
}

#[test]
fn a_message_that_comes_out_as_it_was_keeps_its_form() {
    let gift = Content::Gift(Gift {
        gift_id: "rose".into(),
        count: 1,
        ..Gift::default()
    });
    assert_eq!(replaced(&gift, data("")).unwrap(), gift);
    let same = Replacement {
        elements: Some(parts(&gift).elements),
        cloud_custom_data: None,
    };
    assert_eq!(replaced(&gift, same).unwrap(), gift);
}

#[test]
fn what_the_backend_puts_in_is_held_to_the_limits() {
    let empty = Replacement {
        elements: Some(vec![Element::default()]),
        cloud_custom_data: None,
    };
    let refused = replaced(&text("hi"), empty).unwrap_err();
    assert_eq!(refused.code, Code::BACKEND_REFUSED);
}
