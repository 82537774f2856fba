require "editheader";
deleteheader "Message-ID"; # Postfix gives it a new one
redirect "probe@monitor.test";
