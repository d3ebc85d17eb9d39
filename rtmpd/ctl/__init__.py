"""``rtmpctl``: asks and tells a running rtmpd, over its control socket or over HTTP.

It imports neither gevent nor requests: an operator's shell loop, a health check and a completion run it often.

===========  ====================================================================
exit status
===========  ====================================================================
0            it was done, or the answer is yes
1            it was refused, or the answer is no: a configuration with problems, a hook that fails, no such stream
64           the command line is wrong
69           rtmpd does not run, or can not be reached
70           an error of rtmpd
75           rtmpd is busy or did not answer in time; try again
77           not permitted: the socket is somebody else's, or the token is missing or wrong
===========  ====================================================================
"""
