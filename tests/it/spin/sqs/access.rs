//! Access control, on a Moto server that checks signatures and permissions.

use chargegate_servers::sqs::{MotoQueue, post_action};
use chargegate_servers::{MotoServer, moto};

use super::super::support::{assert_accepted, assert_refused, post};
use super::up;
use crate::host::support::bounded;

/// Policy that the edge needs, form-encoded.
const SEND: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C\
                    %22Action%22%3A%22sqs%3ASendMessage%22%2C%22Resource%22%3A%22*%22%7D%5D%7D";

/// Creates a user with a key and returns the key's id and secret.
fn key(server: &MotoServer, user: &str) -> [String; 2] {
    let ask = |parameters: String| {
        post_action(&server.url(), "iam", &format!("Version=2010-05-08&UserName={user}&{parameters}"))
            .unwrap()
    };
    ask("Action=CreateUser".into());
    let answer = ask("Action=CreateAccessKey".into());
    ["AccessKeyId", "SecretAccessKey"].map(|name| {
        let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    })
}

#[test]
fn only_a_key_with_permission_can_send_a_message() {
    bounded(async {
        let server = MotoServer::start_checking(&moto(), 6).unwrap();
        let queue = MotoQueue::create(&server.url()).unwrap();
        let [id, secret] = key(&server, "edge");
        let policy = format!("UserName=edge&PolicyName=p&PolicyDocument={SEND}");
        post_action(&server.url(), "iam", &format!("Version=2010-05-08&Action=PutUserPolicy&{policy}"))
            .unwrap();
        let [other, others_secret] = key(&server, "other");
        for (id, secret, may) in [
            (&*id, &*secret, true),
            (&id, &others_secret, false),
            ("AKIANOBODY", &secret, false),
            (&other, &others_secret, false),
        ] {
            let key = [("aws_access_key_id", id), ("aws_secret_access_key", secret)];
            let spin = up(&server.url(), &queue.path(), &key).await;
            let reply = post(&mut spin.connect().await).await;
            if may {
                assert_accepted(&reply);
            } else {
                assert_refused(&reply, "the queue is unavailable");
            }
        }
    });
}
