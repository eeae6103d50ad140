# broker/log
