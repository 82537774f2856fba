//! Chains as real mail systems write them, after their documented formats.

use super::lines;

#[test]
fn postfix() {
    insta::assert_snapshot!(lines("
Received: from mx.example.com (mx.example.com [192.0.2.25])
	(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
	 key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)
	(Client did not present a certificate)
	by imap.example.net (Postfix) with ESMTPS id 4Dh2Kx0ZrZz9sVF
	for <probe@example.net>; Fri, 27 Nov 2026 11:11:14 +0100 (CET)
Received: by mx.example.com (Postfix, from userid 1001)
	id 5B2C03F1D7; Fri, 27 Nov 2026 10:11:13 +0000 (UTC)
Received: from client.example (unknown [198.51.100.7])
	by mx.example.com (Postfix) with ESMTPSA id 9A1B23F1D6
	for <echo@example.com>; Fri, 27 Nov 2026 10:11:12 +0000 (UTC)
"), @r"
    client.example | mx.example.com | ESMTPSA | - | 10:11:12
    - | mx.example.com | - | - | 10:11:13
    mx.example.com | imap.example.net | ESMTPS | TLSv1.3 TLS_AES_256_GCM_SHA384 | 10:11:14
    ");
}

#[test]
fn postfix_with_amavis() {
    insta::assert_snapshot!(lines("
Received: from localhost (localhost [127.0.0.1])
	by mx.example.com (Postfix) with ESMTP id C3D4E5F607
	for <echo@example.com>; Fri, 27 Nov 2026 10:11:26 +0000 (UTC)
X-Virus-Scanned: Debian amavis at mx.example.com
Received: from mx.example.com ([127.0.0.1])
 by localhost (mx.example.com [127.0.0.1]) (amavis, port 10024) with ESMTP
 id Zk9pLq3vTn8X for <echo@example.com>; Fri, 27 Nov 2026 10:11:12 +0000 (UTC)
Received: from client.example (client.example [198.51.100.7])
	by mx.example.com (Postfix) with ESMTPS id A1B2C3D4E5
	for <echo@example.com>; Fri, 27 Nov 2026 10:11:12 +0000 (UTC)
"), @r"
    client.example | mx.example.com | ESMTPS | - | 10:11:12
    mx.example.com | localhost | ESMTP | - | 10:11:12
    localhost | mx.example.com | ESMTP | - | 10:11:26
    ");
}

#[test]
fn exim() {
    insta::assert_snapshot!(lines("
Received: from [198.51.100.7] (helo=client.example)
	by mail.example.org with esmtpsa  (TLS1.3) tls TLS_AES_256_GCM_SHA384
	(Exim 4.96)
	(envelope-from <probe@monitor.example>)
	id 1wP3Qk-0001Ab-2C
	for echo@example.org;
	Fri, 27 Nov 2026 10:11:12 +0000
Received: from client.example ([198.51.100.7]:51234 helo=client)
	by old.example.org with esmtps (TLSv1.2:ECDHE-RSA-AES256-GCM-SHA384:256)
	(Exim 4.92)
	id 1wP3Qk-0001Ab-00; Fri, 27 Nov 2026 10:11:11 +0000
"), @r"
    client.example | old.example.org | ESMTPS | TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 | 10:11:11
    198.51.100.7 | mail.example.org | ESMTPSA | TLSv1.3 TLS_AES_256_GCM_SHA384 | 10:11:12
    ");
}

#[test]
fn sendmail() {
    insta::assert_snapshot!(lines("
Received: from client.example (client.example [198.51.100.7])
	(authenticated bits=0)
	by sm.example.edu (8.17.1/8.17.1) with ESMTPSA id 7ARABCd1012345
	(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NOT)
	for <echo@example.edu>; Fri, 27 Nov 2026 05:11:12 -0500
Received: (from root@localhost)
	by sm.example.edu (8.17.1/8.17.1/Submit) id 7ARABCd1012344;
	Fri, 27 Nov 2026 05:11:11 -0500
"), @r"
    - | sm.example.edu | - | - | 10:11:11
    client.example | sm.example.edu | ESMTPSA | TLSv1.3 TLS_AES_256_GCM_SHA384 | 10:11:12
    ");
}

#[test]
fn exchange_on_premises() {
    insta::assert_snapshot!(lines("
Received: from EX02.corp.example (10.1.2.4) by EX01.corp.example (10.1.2.3)
 with Microsoft SMTP Server (version=TLS1_2,
 cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.2.1544.11 via Mailbox
 Transport; Fri, 27 Nov 2026 11:11:13 +0100
Received: from EX02.corp.example (10.1.2.4) by EX02.corp.example (10.1.2.4) with
 Microsoft SMTP Server (version=TLS1_2,
 cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.2.1544.11; Fri, 27 Nov
 2026 11:11:12 +0100
Received: from client.example (198.51.100.7) by EX02.corp.example (10.1.2.4)
 with Microsoft SMTP Server id 15.2.1544.11 via Frontend Transport; Fri, 27 Nov
 2026 11:11:12 +0100
"), @r"
    client.example | EX02.corp.example | SMTP | - | 10:11:12
    EX02.corp.example | EX02.corp.example | SMTP | TLSv1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 | 10:11:12
    EX02.corp.example | EX01.corp.example | SMTP | TLSv1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 | 10:11:13
    ");
}

#[test]
fn exchange_online() {
    insta::assert_snapshot!(lines("
Received: from AM0PR01MB1234.eurprd01.prod.exchangelabs.com
 (2603:10a6:208:1::5) by VI1PR01MB5678.eurprd01.prod.exchangelabs.com with
 HTTPS; Fri, 27 Nov 2026 10:11:15 +0000
Received: from AM5EUR02FT012.eop-EUR02.prod.protection.outlook.com
 (2603:10a6:20b:7e:cafe::1f) by AM0PR01CA0099.outlook.office365.com
 (2603:10a6:208:10e::40) with Microsoft SMTP Server (version=TLS1_3,
 cipher=TLS_AES_256_GCM_SHA384) id 15.20.9412.7 via Frontend Transport; Fri, 27
 Nov 2026 10:11:14 +0000
Received: from client.example (198.51.100.7) by
 AM5EUR02FT012.mail.protection.outlook.com (10.152.8.123) with Microsoft SMTP
 Server (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.9412.4 via
 Frontend Transport; Fri, 27 Nov 2026 10:11:13 +0000
"), @r"
    client.example | AM5EUR02FT012.mail.protection.outlook.com | SMTP | TLSv1.3 TLS_AES_256_GCM_SHA384 | 10:11:13
    AM5EUR02FT012.eop-EUR02.prod.protection.outlook.com | AM0PR01CA0099.outlook.office365.com | SMTP | TLSv1.3 TLS_AES_256_GCM_SHA384 | 10:11:14
    AM0PR01MB1234.eurprd01.prod.exchangelabs.com | VI1PR01MB5678.eurprd01.prod.exchangelabs.com | HTTPS | - | 10:11:15
    ");
}

#[test]
fn gmail() {
    insta::assert_snapshot!(lines("
Received: by 2002:a05:6a10:1234:b0:55c:aaaa:bbbb with SMTP id x1csp12345pxb;
        Fri, 27 Nov 2026 02:11:14 -0800 (PST)
X-Received: by 2002:a17:90b:1c0f:b0:2a0:cccc:dddd with SMTP id
        k15-1780000000000; Fri, 27 Nov 2026 02:11:13 -0800 (PST)
Received: from client.example (client.example. [198.51.100.7])
        by mx.google.com with ESMTPS id d2e1a72fcca58-7aabc1si1234567b3a.123.2026.11.27.02.11.13
        for <echo@gmail.example>
        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);
        Fri, 27 Nov 2026 02:11:13 -0800 (PST)
"), @r"
    client.example | mx.google.com | ESMTPS | TLSv1.3 TLS_AES_256_GCM_SHA384 | 10:11:13
    - | 2002:a05:6a10:1234:b0:55c:aaaa:bbbb | SMTP | - | 10:11:14
    ");
}

#[test]
fn qmail() {
    insta::assert_snapshot!(lines("
Received: (qmail 12346 invoked by uid 89); 27 Nov 2026 10:11:14 -0000
Received: by simscan 1.4.0 ppid: 12340, pid: 12343, t: 0.1012s
         scanners: clamav: 1.4.1/m:62/d:27000
Received: from unknown (HELO client.example) (probe@monitor.example@198.51.100.7)
  by qm.example.com with ESMTPSA (ECDHE-RSA-AES256-GCM-SHA384 encrypted); 27 Nov 2026 10:11:12 -0000
"), @r"
    client.example | qm.example.com | ESMTPSA | ECDHE-RSA-AES256-GCM-SHA384 | 10:11:12
    - | simscan | - | - | -
    - | - | - | - | 10:11:14
    ");
}

#[test]
fn dovecot_and_cyrus() {
    insta::assert_snapshot!(lines("
Received: from imap.example.net
	by imap.example.net with LMTP
	id 6MzpKzCHKGdZVQAAyQwD4w
	(envelope-from <probe@monitor.example>)
	for <probe@example.net>; Fri, 27 Nov 2026 10:11:15 +0000
Received: from mx.example.net ([unix socket])
	 by cyrus.example.net (Cyrus 3.6.1-Debian-3.6.1-4) with LMTPA;
	 Fri, 27 Nov 2026 11:11:14 +0100
Received: from cyrus.example.net ([192.0.2.4])
	by cyrus.example.net (Cyrus 3.6.1) with LMTPSA
	(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256 verify=NO);
	Fri, 27 Nov 2026 10:11:13 +0000
"), @r"
    cyrus.example.net | cyrus.example.net | LMTPSA | TLSv1.3 TLS_AES_256_GCM_SHA384 | 10:11:13
    mx.example.net | cyrus.example.net | LMTPA | - | 10:11:14
    imap.example.net | imap.example.net | LMTP | - | 10:11:15
    ");
}

#[test]
fn amazon_ses() {
    insta::assert_snapshot!(lines("
Received: from client.example (client.example [198.51.100.7])
 by inbound-smtp.eu-west-1.amazonaws.com with SMTP id ab1cdef2ghijklmnop3qrst4uvwxyz5
 for echo@example.com;
 Fri, 27 Nov 2026 10:11:12 +0000 (UTC)
"), @r"
    client.example | inbound-smtp.eu-west-1.amazonaws.com | SMTP | - | 10:11:12
    ");
}

#[test]
fn opensmtpd_haraka_and_zimbra() {
    insta::assert_snapshot!(lines("
Received: from mta.zimbra.example (LHLO mta.zimbra.example) (192.0.2.8)
 by store.zimbra.example with LMTP; Fri, 27 Nov 2026 10:11:15 +0000 (UTC)
Received: from client.example ([198.51.100.7])
	by haraka.example (Haraka/3.0.3) with ESMTPS id 5C0F1A22-1D3B-4E5F-8A6B-7C8D9E0F1A2B.1
	envelope-from <probe@monitor.example>
	tls TLS_AES_256_GCM_SHA384;
	Fri, 27 Nov 2026 10:11:13 +0000
Received: from client.example (client.example [198.51.100.7])
	by bsd.example (OpenSMTPD) with ESMTPS id 1a2b3c4d (TLSv1.3:TLS_AES_256_GCM_SHA384:256:NO)
	for <echo@bsd.example>;
	Fri, 27 Nov 2026 10:11:12 +0000 (UTC)
"), @r"
    client.example | bsd.example | ESMTPS | TLSv1.3 TLS_AES_256_GCM_SHA384 | 10:11:12
    client.example | haraka.example | ESMTPS | TLS_AES_256_GCM_SHA384 | 10:11:13
    mta.zimbra.example | store.zimbra.example | LMTP | - | 10:11:15
    ");
}

#[test]
fn mailenable_and_coremail() {
    insta::assert_snapshot!(lines("
Received: from client.example (unknown [198.51.100.7])
	by mx19 (Coremail) with SMTP id x8mowAAX4tcS6zReRf_REg--.49102S3;
	Fri, 27 Nov 2026 18:11:13 +0800 (CST)
Received: from client.example ([198.51.100.7]) by me.example with
 MailEnable ESMTPS (version=TLS1.2 cipher=ECDHE); Fri, 27 Nov 2026 10:11:12 +0000
"), @r"
    client.example | me.example | ESMTPS | TLSv1.2 | 10:11:12
    client.example | mx19 | SMTP | - | 10:11:13
    ");
}

#[test]
fn servers_written_in_go() {
    insta::assert_snapshot!(lines("
Received: from client.example ([198.51.100.7]) by go.example (guerrilla) with ESMTPS
  id 42@go.example; 2026-11-27 10:11:13.123456789 +0000 UTC m=+5.000123
Received: from client.example (client.example [198.51.100.7]) by maddy.example
 (envelope-sender <probe@monitor.example>) with UTF8ESMTPS id 5f1c2d3e; Fri, 27
 Nov 2026 10:11:12 +0000 m=+5
"), @r"
    client.example | maddy.example | UTF8ESMTPS | - | 10:11:12
    client.example | go.example | ESMTPS | - | 10:11:13
    ");
}
