package child

import (
	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// maxFound bounds how many tokens a fault lists.
const maxFound = 8

// findSlot returns the slot of the one token that matches.
func findSlot(ctx *pkcs11.Ctx, want proto.Token) (uint, error) {
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		return 0, try("C_GetSlotList", err)
	}
	var all, matching []string
	var found uint
	for _, slot := range slots {
		info, err := ctx.GetTokenInfo(slot)
		if err != nil || info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue // an empty or broken reader beside ours is none of our business
		}
		says := describe(slot, info)
		all = append(all, says.Label)
		if matches(want, says) {
			matching = append(matching, says.Label)
			found = slot
		}
	}
	switch len(matching) {
	case 0:
		return 0, &proto.Fault{Kind: proto.KindTokenMissing, Found: all[:min(len(all), maxFound)], Count: len(all)}
	case 1:
		return found, nil
	}
	return 0, &proto.Fault{Kind: proto.KindTokenAmbiguous, Found: matching[:min(len(matching), maxFound)], Count: len(matching)}
}

func describe(slot uint, info pkcs11.TokenInfo) proto.Token {
	return proto.Token{
		Label:        info.Label,
		Serial:       info.SerialNumber,
		Manufacturer: info.ManufacturerID,
		Model:        info.Model,
		SlotID:       uint64(slot),
		HasSlotID:    true,
	}
}

func matches(want, says proto.Token) bool {
	return (want.Label == "" || want.Label == says.Label) &&
		(want.Serial == "" || want.Serial == says.Serial) &&
		(want.Manufacturer == "" || want.Manufacturer == says.Manufacturer) &&
		(want.Model == "" || want.Model == says.Model) &&
		(!want.HasSlotID || want.SlotID == says.SlotID)
}

// poolSize returns how many sessions to use beside the anchor, or 1 if there can be
// none beside it.
func poolSize(wanted int, tokenMax uint) int {
	size := max(wanted, 1)
	// CK_EFFECTIVELY_INFINITE is 0, CK_UNAVAILABLE_INFORMATION all ones.
	if tokenMax == 0 || tokenMax == ^uint(0) {
		return size
	}
	return int(min(uint(size), max(tokenMax-1, 1)))
}
