package number

import (
	"slices"
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// Country is one that Parse reads national numbers of.
type Country struct {
	Region string // ISO 3166, two letters
	Name   string // in English
}

// Countries are all of them, by name.
var Countries = sync.OnceValue(func() []Country {
	var all []Country
	for region := range phonenumbers.GetSupportedRegions() {
		if name := CountryName(region); name != "" {
			all = append(all, Country{region, name})
		}
	}
	c := collate.New(language.English) // Åland stands at the A
	slices.SortFunc(all, func(a, b Country) int { return c.CompareString(a.Name, b.Name) })
	return all
})

// CountryName is a country's name in English, "" for what is none.
func CountryName(region string) string {
	r, err := language.ParseRegion(region)
	if err != nil || !ValidRegion(region) {
		return ""
	}
	return display.English.Regions().Name(r)
}

// mobileCountries are the mobile country codes of ITU-T E.212 with their countries.
const mobileCountries = "202GR204NL206BE208FR212MC213AD214ES216HU218BA219HR220RS221XK222IT226RO228CH230CZ231SK232AT234GB235GB238DK240SE242NO244FI246LT247LV248EE250RU255UA257BY259MD260PL262DE266GI268PT" +
	"270LU272IE274IS276AL278MT280CY282GE283AM284BG286TR288FO290GL292SM293SI294MK295LI297ME302CA308PM310US311US312US313US314US315US316US330PR332VI334MX338JM340GP342BB344AG346KY348VG350BM352GD" +
	"354MS356KN358LC360VC362CW363AW364BS365AI366DM368CU370DO372HT374TT376TC400AZ401KZ402BT404IN405IN406IN410PK412AF413LK414MM415LB416JO417SY418IQ419KW420SA421YE422OM424AE425IL426BH427QA428MN" +
	"429NP430AE431AE432IR434UZ436TJ437KG438TM440JP441JP450KR452VN454HK455MO456KH457LA460CN461CN466TW467KP470BD472MV502MY505AU510ID514TL515PH520TH525SG528BN530NZ536NR537PG539TO540SB541VU542FJ" +
	"543WF544AS545KI546NC547PF548CK549WS550FM551MH552PW553TV554TK555NU602EG603DZ604MA605TN606LY607GM608SN609MR610ML611GN612CI613BF614NE615TG616BJ617MU618LR619SL620GH621NG622TD623CF624CM625CV" +
	"626ST627GQ628GA629CG630CD631AO632GW633SC634SD635RW636ET637SO638DJ639KE640TZ641UG642BI643MZ645ZM646MG647RE648ZW649NA650MW651LS652BW653SZ654KM655ZA657ER658SH659SS702BZ704GT706SV708HN710NI" +
	"712CR714PA716PE722AR724BR730CL732CO734VE736BO738GY740EC742GF744PY746SR748UY750FK"

// RegionOfIMSI is the country that issued a SIM, "" if that can't be told.
func RegionOfIMSI(imsi string) string {
	if len(imsi) < 5 {
		return ""
	}
	for at := 0; at+5 <= len(mobileCountries); at += 5 {
		if region := mobileCountries[at+3 : at+5]; strings.HasPrefix(imsi, mobileCountries[at:at+3]) && ValidRegion(region) {
			return region
		}
	}
	return ""
}
