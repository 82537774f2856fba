require "vnd.dovecot.filter";
filter "footer";
redirect "probe@monitor.test";
