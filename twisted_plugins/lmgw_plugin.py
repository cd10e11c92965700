"""Makes ``lmgw`` a command of ``twistd``; everything behind it is imported only when it is used."""

from twisted.application.service import ServiceMaker

lmgw = ServiceMaker("lmgw", "lmgw.tap", "A gateway between applications and language models.", "lmgw")
