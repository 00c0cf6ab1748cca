package main

import (
	"fmt"
	"slices"
)

// worstLoss is the least ratio of IOPS to the other program's that a row may show.
const worstLoss = 0.97

// pairs are the ratios of this program's rounds to the other's, each measured right before or
// after: what the machine does in the meantime cancels out.
type pairs struct{ least, median, most float64 }

func (l *lab) paired(r row, name string, of func(sample) float64) (p pairs, ok bool) {
	mine, others := l.samples[name][r], l.samples[name+other][r]
	var ratios []float64
	for i := range min(len(mine), len(others)) {
		if d := of(others[i]); d > 0 {
			ratios = append(ratios, of(mine[i])/d)
		}
	}
	if len(ratios) == 0 {
		return pairs{}, false
	}
	slices.Sort(ratios)
	n := len(ratios)
	return pairs{ratios[0], (ratios[(n-1)/2] + ratios[n/2]) / 2, ratios[n-1]}, true
}

// reportAgainst prints the verdicts on this program and the other one, and fails when a row
// lost more than worstLoss allows.
func (l *lab) reportAgainst(rows []row) error {
	fmt.Printf("\nratios of this program to %s, pair by pair: the median, and from the least to the most\n", l.o.against)
	met, all := 0, 0
	for _, s := range l.servers {
		for _, r := range rows {
			iops, ok := l.paired(r, s.name, func(s sample) float64 { return s.IOPS })
			if !ok {
				continue
			}
			cpu, _ := l.paired(r, s.name, func(s sample) float64 { return s.ServerUS })
			all++
			word := "MISS"
			if iops.median >= worstLoss {
				met++
				word = "PASS"
			}
			fmt.Printf("%s  %-4s  %-16s IOPS %.3f (%.3f to %.3f), CPU per I/O %.3f (%.3f to %.3f)\n", word, s.name, r,
				iops.median, iops.least, iops.most, cpu.median, cpu.least, cpu.most)
		}
	}
	fmt.Printf("bench: %d of %d rows keep %.0f%% of the other program's speed\n", met, all, 100*worstLoss)
	if met < all {
		return fmt.Errorf("%d rows lost more", all-met)
	}
	return nil
}
