# The rule under test. A mailbox for each protocol, so that neither sees the other's mail.
require ["envelope", "subaddress"];
if envelope :detail "to" "pop3" {
    redirect "pop3@monitor.test";
} else {
    redirect "imap@monitor.test";
}
