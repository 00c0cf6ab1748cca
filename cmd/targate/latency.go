package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/api"
)

// askLatency asks how long commands took, and has the server begin to count anew if reset.
func askLatency(ctx context.Context, c *api.Client, reset bool) (l api.Latency, err error) {
	if reset {
		return l, c.Post(ctx, "/v1/latency/reset", struct{}{}, &l)
	}
	return l, c.Get(ctx, "/v1/latency", &l)
}

func printLatency(w io.Writer, l manage.Latency) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "latency since %s\n\n", l.Since.Format(time.DateTime))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	const columns = "\tCOMMAND\tSTAGE\tCOUNT\tMEAN\tP50\tP90\tP99\tP99.9\tMAX\n"
	fmt.Fprint(t, "DEVICE"+columns)
	for _, d := range l.Devices {
		printStages(t, d.Name, d.Stages)
	}
	fmt.Fprint(t, "\nSESSION"+columns)
	for _, s := range l.Sessions {
		printStages(t, fmt.Sprintf("%d %s", s.TSIH, s.Initiator), s.Stages)
	}
	fmt.Fprint(t, "\nSTAGE\tIS\n")
	for _, s := range l.Stages {
		fmt.Fprintf(t, "%s\t%s\n", s.Name, s.Doc)
	}
	if err := t.Flush(); err != nil {
		return fail(exitFailure, err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fail(exitFailure, err)
	}
	return nil
}

func printStages(w io.Writer, name string, stages []manage.StageLatency) {
	for _, s := range stages {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d", name, s.Class, s.Stage, s.Count)
		for _, ns := range []int64{s.Mean, s.P50, s.P90, s.P99, s.P999, s.Max} {
			fmt.Fprintf(w, "\t%s", brief(time.Duration(ns)))
		}
		fmt.Fprintln(w)
	}
}

// brief writes a duration in three digits.
func brief(d time.Duration) string {
	unit := time.Duration(1)
	for unit < time.Second && d >= 1000*unit {
		unit *= 10
	}
	return d.Round(unit).String()
}
