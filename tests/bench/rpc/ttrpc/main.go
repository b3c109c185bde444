// rpc-ttrpc is both ends of bench-rpc's calls by ttrpc: "serve" answers on descriptor 3; "call" calls on
// descriptor 3 as often as a uint64 from descriptor 4 says and writes as many uint64 there, the nanoseconds
// of each. Numbers are in the machine's own order, which is little-endian where this runs.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/containerd/ttrpc"
)

const service = "phoenix.Agent"

// connection hands one connection out and then waits.
type connection struct {
	conns chan net.Conn
}

func (c *connection) Accept() (net.Conn, error) {
	conn, ok := <-c.conns
	if !ok {
		return nil, errors.New("closed")
	}
	return conn, nil
}

func (c *connection) Close() error   { return nil }
func (c *connection) Addr() net.Addr { return &net.UnixAddr{Name: "peer", Net: "unix"} }

func health(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var request HealthRequest
	if err := unmarshal(&request); err != nil {
		return nil, err
	}
	reply := &HealthReply{ResidentBytes: 700000, UptimeMs: 86400000}
	for _, kind := range []string{"AgentConnected", "DockerResponding", "StorageSound", "Confined"} {
		reply.Conditions = append(reply.Conditions, &Condition{
			Type: kind, Status: 1, Reason: "AsExpected", Message: "looked at",
			LastTransitionMs: 1763935200123,
		})
	}
	return reply, nil
}

func serve(conn net.Conn) {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	server.Register(service, map[string]ttrpc.Method{"Health": health})
	listener := &connection{conns: make(chan net.Conn, 1)}
	listener.conns <- conn
	log.Fatal(server.Serve(context.Background(), listener))
}

// answer calls as often as it is told, with a deadline as callers give in earnest.
func answer(client *ttrpc.Client, orders io.ReadWriter) error {
	var wanted uint64
	if err := binary.Read(orders, binary.LittleEndian, &wanted); err != nil {
		return err
	}
	samples := make([]uint64, wanted)
	for i := range samples {
		var reply HealthReply
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := client.Call(ctx, service, "Health", &HealthRequest{}, &reply)
		cancel()
		if err != nil {
			return err
		}
		samples[i] = uint64(time.Since(begun))
		if len(reply.Conditions) != 4 {
			return errors.New("not the reply that was asked for")
		}
	}
	return binary.Write(orders, binary.LittleEndian, samples)
}

func main() {
	log.SetPrefix("rpc-ttrpc: ")
	runtime.GOMAXPROCS(1) // there is one CPU
	conn, err := net.FileConn(os.NewFile(3, "peer"))
	if err != nil {
		log.Fatal(err)
	}
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve(conn)
	}
	client := ttrpc.NewClient(conn)
	orders := os.NewFile(4, "orders")
	for {
		if err := answer(client, orders); err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
	}
}
