module qmq

go 1.26

require (
	github.com/golang/snappy v0.0.4 // indirect
	github.com/hashicorp/go-msgpack/v2 v2.1.5 // indirect
	github.com/julienschmidt/httprouter v1.3.0 // indirect
	github.com/nsqio/go-nsq v1.1.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)
