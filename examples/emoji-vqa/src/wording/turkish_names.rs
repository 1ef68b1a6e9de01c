//! What people call things in Turkish, and how a name takes its endings.

use crate::catalogue::Category;
use crate::colour::Colour;

/// What people call a thing whose name in the catalogue is another. No entry is what another thing is called.
pub(super) const SYNONYMS: &[(&str, &[&str])] = &[
    ("kurşun kalem", &["kalem"]),
    ("açık kitap", &["kitap"]),
    ("fotoğraf makinesi", &["kamera"]),
    ("silindir şapka", &["şapka"]),
    ("şato", &["kale"]),
    ("kırmızı elma", &["elma"]),
    ("kedi", &["pisi"]),
    ("at", &["beygir"]),
    ("kaplumbağa", &["tosbağa"]),
    ("ejderha", &["ejder"]),
    ("yunus", &["yunus balığı"]),
    ("köpek balığı", &["köpekbalığı"]),
    ("salyangoz", &["sümüklü böcek"]),
    ("bal arısı", &["arı"]),
    ("uğur böceği", &["hanım böceği", "uç uç böceği", "gelin böceği"]),
    ("buket", &["çiçek demeti"]),
    ("ayçiçeği", &["günebakan", "gündöndü"]),
    ("palmiye ağacı", &["palmiye"]),
    ("düşen yapraklar", &["yapraklar", "sonbahar yaprakları"]),
    ("üzüm", &["üzüm salkımı"]),
    ("kruvasan", &["ay çöreği", "kruasan"]),
    ("peynir dilimi", &["peynir"]),
    ("patates kızartması", &["patates", "kızarmış patates"]),
    ("pizza dilimi", &["pizza"]),
    ("patlamış mısır", &["popcorn", "mısır patlağı"]),
    ("suşi", &["sushi"]),
    ("şarap kadehi", &["kadeh", "şarap", "şarap bardağı"]),
    ("bira kupası", &["bira", "bira bardağı"]),
    ("yanardağ", &["volkan"]),
    ("fıskiye", &["süs havuzu", "fıskiyeli havuz"]),
    ("buharlı lokomotif", &["tren", "lokomotif", "kara tren", "buharlı tren"]),
    ("araba", &["otomobil"]),
    ("çıpa", &["çapa", "gemi çapası"]),
    ("uçak", &["tayyare", "yolcu uçağı"]),
    ("hilal", &["ay"]),
    ("gökkuşağı", &["ebemkuşağı"]),
    ("ateş", &["alev"]),
    ("damlacık", &["damla"]),
    ("dalga", &["deniz dalgası"]),
    ("paketlenmiş hediye", &["hediye", "hediye paketi"]),
    ("zafer kupası", &["ödül kupası", "şampiyonluk kupası"]),
    ("tenis", &["tenis topu"]),
    ("bovling", &["bowling", "bovling topu"]),
    ("masa tenisi", &["pinpon", "ping pong"]),
    ("video oyunu", &["oyun kolu", "oyun kumandası"]),
    ("kravat", &["boyun bağı"]),
    ("kot", &["kot pantolon", "blucin", "pantolon"]),
    ("okul çantası", &["çanta", "sırt çantası"]),
    ("yüzük", &["nişan yüzüğü", "pırlanta yüzük"]),
    ("zarf", &["mektup"]),
    ("roket", &["füze"]),
    ("motosiklet", &["motorsiklet"]),
    ("mücevher", &["elmas", "değerli taş"]),
    ("saksafon", &["saksofon"]),
    ("davul", &["trampet"]),
    ("cep telefonu", &["telefon", "akıllı telefon"]),
    ("dizüstü bilgisayar", &["bilgisayar", "laptop"]),
    ("televizyon", &["TV"]),
    ("ampul", &["elektrik ampulü", "lamba"]),
    ("paket", &["koli", "karton kutu"]),
    ("somun anahtarı", &["İngiliz anahtarı"]),
    ("dişli", &["dişli çark", "çark"]),
    ("şırınga", &["enjektör"]),
    ("hap", &["kapsül"]),
    ("yatak", &["karyola"]),
    ("klozet", &["tuvalet", "hela"]),
    ("banyo küveti", &["küvet"]),
    ("kara kedi", &["siyah kedi"]),
    ("leopar", &["pars"]),
    ("eşek", &["merkep", "karakaçan"]),
    ("öküz", &["boğa"]),
    ("manda", &["camız", "su bufalosu"]),
    ("hipopotam", &["su aygırı"]),
    ("su samuru", &["susamuru"]),
    ("pençe izi", &["pati izi"]),
    ("dodo kuşu", &["dodo"]),
    ("kuş tüyü", &["tüy"]),
    ("siyah kuş", &["karga"]),
    ("Anka", &["anka kuşu", "zümrüdüanka", "feniks"]),
    ("T-Rex", &["tiranozor", "T-Rex dinozoru"]),
    ("fok", &["fok balığı", "ayı balığı"]),
    ("deniz kabuğu", &["deniz minaresi"]),
    ("denizanası", &["deniz anası", "medüz"]),
    ("ıstakoz", &["istakoz"]),
    ("mürekkep balığı", &["kalamar"]),
    ("cırcır böceği", &["çekirge"]),
    ("hamam böceği", &["karafatma"]),
    ("karasinek", &["kara sinek", "ev sineği"]),
    ("mikrop", &["virüs", "bakteri"]),
    ("nilüfer", &["lotus", "nilüfer çiçeği"]),
    ("çiçek rozet", &["rozet"]),
    ("solmuş çiçek", &["solmuş gül"]),
    ("çingülü", &["hibiskus", "Çin gülü"]),
    ("çiçek açma", &["papatya", "açmış çiçek"]),
    ("boş yuva", &["kuş yuvası"]),
    ("mandalina", &["mandalin", "portakal"]),
    ("misket limonu", &["yeşil limon"]),
    ("yaban mersini", &["likapa", "mavi yemiş"]),
    ("Hindistan cevizi", &["hindistancevizi"]),
    ("acı biber", &["kırmızı biber"]),
    ("dolma biber", &["dolmalık biber"]),
    ("salatalık", &["hıyar"]),
    ("sarımsak", &["sarmısak"]),
    ("yer fıstığı", &["fıstık", "yerfıstığı"]),
    ("fasulye", &["barbunya"]),
    ("kök zencefil", &["zencefil"]),
    ("kabuklu bezelye", &["bezelye"]),
    ("yassı ekmek", &["lavaş", "bazlama", "pide"]),
    ("pretzel", &["brezel"]),
    ("simit", &["bagel"]),
    ("krep", &["pankek", "akıtma"]),
    ("waffle", &["vafıl"]),
    ("domuz pastırması", &["bacon", "beykın"]),
    ("sosisli sandviç", &["sosisli"]),
    ("tako", &["taco"]),
    ("tereyağı", &["tereyağ"]),
    ("tuz", &["tuzluk", "sofra tuzu"]),
    ("pilav", &["pirinç pilavı"]),
    ("erişte", &["ramen", "noodle"]),
    ("spagetti", &["makarna"]),
    ("kızarmış karides", &["karides kızartması"]),
    ("pirinç tatlısı", &["dango"]),
    ("donut", &["donat"]),
    ("cupcake", &["kapkek", "top kek"]),
    ("tart", &["turta"]),
    ("çikolata", &["tablet çikolata"]),
    ("şekerleme", &["bonbon", "bayram şekeri"]),
    ("krem karamel", &["puding"]),
    ("sıcak içecek", &["kahve", "kahve fincanı", "çay fincanı"]),
    ("demlik", &["çaydanlık"]),
    ("kadeh tokuşturma", &["tokuşan kadehler", "şampanya kadehleri"]),
    ("amfora", &["testi"]),
    ("Fuji Dağı", &["Fuji"]),
    ("kamp", &["kamp yeri"]),
    ("ıssız ada", &["ada"]),
    ("stadyum", &["stat"]),
    ("tarihi yapı", &["tarihi bina", "antik tapınak"]),
    ("bina inşaatı", &["inşaat", "şantiye"]),
    ("kütük", &["odun", "ağaç kütüğü"]),
    ("kulübe", &["baraka"]),
    ("evler", &["mahalle"]),
    ("terkedilmiş ev", &["harabe"]),
    ("Japon şatosu", &["Japon kalesi"]),
    ("sinagog", &["havra"]),
    ("Şinto tapınağı", &["torii", "Japon tapınağı"]),
    ("Kâbe", &["Kabe"]),
    ("hız treni", &["lunapark treni"]),
    ("berber dükkanı", &["berber", "berber direği"]),
    ("sirk çadırı", &["sirk"]),
    ("tren", &["yolcu treni", "şimendifer"]),
    ("tren istasyonu", &["istasyon", "gar"]),
    ("tramvay vagonu", &["vagon"]),
    ("minibüs", &["dolmuş"]),
    ("polis arabası", &["ekip arabası"]),
    ("tır", &["kamyon"]),
    ("motorlu skuter", &["skuter", "mobilet"]),
    ("elektrikli çekçek", &["tuk tuk", "çekçek"]),
    ("otoban", &["otoyol", "çevre yolu"]),
    ("tren yolu", &["demiryolu"]),
    ("tekerlek", &["teker", "araba lastiği"]),
    ("cankurtaran simidi", &["can simidi"]),
    ("kano", &["kayık"]),
    ("sürat teknesi", &["sürat motoru"]),
    ("yolcu gemisi", &["gezi gemisi", "kruvaziyer"]),
    ("feribot", &["vapur"]),
    ("motorlu tekne", &["motorbot"]),
    ("küçük uçak", &["pervaneli uçak", "özel uçak"]),
    ("uçan daire", &["UFO", "uzaylı gemisi"]),
    ("termometre", &["ateşölçer", "ısıölçer"]),
    ("parıldayan yıldız", &["parlak yıldız"]),
    ("yıldız kayması", &["kayan yıldız", "meteor", "gök taşı"]),
    ("hortum", &["tornado"]),
    ("fişek", &["havai fişek"]),
    ("maytap", &["dinamit", "torpil"]),
    ("parıltılar", &["parıltı", "ışıltı"]),
    ("askeri madalya", &["savaş madalyası"]),
    ("spor madalyası", &["altın madalya"]),
    ("softball", &["softbol"]),
    ("kale ağı", &["futbol kalesi", "kale filesi"]),
    ("su tabancası", &["tabanca", "oyuncak tabanca"]),
    ("sihirli asa", &["sihirli değnek", "asa"]),
    ("oyun çubuğu", &["joystick", "atari kolu"]),
    ("kumar makinesi", &["slot makinesi"]),
    ("matruşka", &["Rus bebeği"]),
    ("sahne sanatları", &["tiyatro"]),
    ("resimli çerçeve", &["tablo", "çerçeve"]),
    ("iplik", &["makara"]),
    ("iplik yumağı", &["yumak", "yün yumağı"]),
    ("denizci düğümü", &["düğüm"]),
    ("laboratuvar önlüğü", &["beyaz önlük", "doktor önlüğü"]),
    ("güvenlik yeleği", &["yelek"]),
    ("atkı", &["kaşkol"]),
    ("kaban", &["palto", "mont"]),
    ("slip mayo", &["külot", "slip"]),
    ("şort", &["kısa pantolon"]),
    ("kadın giysisi", &["bluz"]),
    ("cüzdan", &["bozuk para çantası"]),
    ("para kesesi", &["el çantası"]),
    ("erkek ayakkabısı", &["kundura"]),
    ("kadın sandaleti", &["sandalet"]),
    ("kadın şapkası", &["hasır şapka"]),
    ("siperli şapka", &["kep", "kasket", "beyzbol şapkası"]),
    ("asker kaskı", &["miğfer", "kask"]),
    ("sol anahtarı", &["porte"]),
    ("müzik notası", &["nota"]),
    ("müzik notaları", &["notalar"]),
    ("akordiyon", &["akordeon"]),
    ("müzik klavyesi", &["piyano", "org"]),
    ("banjo", &["banço"]),
    ("uzun davul", &["konga"]),
    ("ahize", &["telefon ahizesi"]),
    ("faks makinesi", &["faks"]),
    ("pil", &["batarya"]),
    ("elektrik fişi", &["priz fişi"]),
    ("bilgisayar faresi", &["mouse", "maus"]),
    ("disket", &["floppy disk"]),
    ("film tahtası", &["klaket"]),
    ("el feneri", &["fener"]),
    ("kitaplar", &["kitap yığını"]),
    ("not defteri", &["bloknot"]),
    ("parşömen", &["ferman"]),
    ("bozuk para", &["madeni para"]),
    ("makbuz", &["alışveriş fişi"]),
    ("e-posta", &["elektronik posta", "mail"]),
    ("dolma kalem", &["mürekkepli kalem"]),
    ("kalem", &["tükenmez kalem", "tükenmez"]),
    ("boya fırçası", &["fırça"]),
    ("not", &["not kağıdı"]),
    ("evrak çantası", &["bond çanta"]),
    ("gönye", &["üçgen cetvel"]),
    ("hançer", &["kama", "bıçak"]),
    ("zincirleri kırmak", &["kırık zincir", "kopuk zincir"]),
    ("çengel", &["kanca"]),
    ("merdiven", &["portatif merdiven", "el merdiveni"]),
    ("yara bandı", &["bandaj", "flaster"]),
    ("koltuk değneği", &["değnek"]),
    ("stetoskop", &["steteskop"]),
    ("sandalye", &["iskemle"]),
    ("lavabo pompası", &["lavabo açıcı", "pompa"]),
    ("fare kapanı", &["kapan", "fare tuzağı"]),
    ("ustura", &["jilet", "tıraş bıçağı"]),
    ("süpürge", &["çalı süpürgesi"]),
    ("baloncuk", &["köpük", "kabarcık"]),
    ("mezar taşı", &["mezar"]),
    ("Fatıma’nın Eli", &["hamsa", "Fatma Ana eli"]),
    ("moyai heykeli", &["Paskalya heykeli"]),
    ("tabela", &["levha", "pankart"]),
];

/// Words of several syllables whose last p, ç or k stays as it is: lolipop, lolipopun. Elsewhere it softens: köpek,
/// köpeğin.
const HARD: [&str; 5] = ["kapkek", "laptop", "lolipop", "pankek", "sandviç"];

/// Other words whose last consonant softens.
const SOFTENED: [(&str, &str); 6] = [
    ("armut", "armud"),
    ("kanat", "kanad"),
    ("kilit", "kilid"),
    ("simit", "simid"),
    ("stat", "stad"),
    ("taç", "tac"),
];

/// Words whose last vowel is not the one that decides about the endings: hilal, hilalin.
const DECIDING: [(&str, char); 3] = [("ampul", 'ü'), ("hilal", 'e'), ("kaşkol", 'ö')];

/// Proper names and foreign spellings take their endings behind an apostrophe, as they are spoken: waffle'ı, T-Rex'ten.
const SPOKEN: [(&str, &str); 19] = [
    ("Anka", "anka"),
    ("Fatıma’nın Eli", "eli"),
    ("Fuji", "fuji"),
    ("Fuji Dağı", "dağı"),
    ("Kabe", "kabe"),
    ("Kâbe", "kabe"),
    ("T-Rex", "reks"),
    ("TV", "teve"),
    ("UFO", "ufo"),
    ("bacon", "beykın"),
    ("bagel", "beygıl"),
    ("cupcake", "kapkeyk"),
    ("joystick", "coystik"),
    ("mail", "meyl"),
    ("mouse", "maus"),
    ("noodle", "nudıl"),
    ("popcorn", "popkorn"),
    ("softball", "softbol"),
    ("waffle", "vafıl"),
];

/// Compounds, which carry a possessive ending already, and what they are without it: köpek balığını, köpek balıkları.
/// Nothing where nobody counts them.
const COMPOUNDS: &str = "köpek balığı|köpek balık
köpekbalığı|köpekbalık
yunus balığı|yunus balık
bal arısı|bal arı
uğur böceği|uğur böcek
hanım böceği|hanım böcek
uç uç böceği|uç uç böcek
gelin böceği|gelin böcek
çiçek demeti|çiçek demet
ayçiçeği|ayçiçek
palmiye ağacı|palmiye ağaç
sonbahar yaprakları|
üzüm salkımı|üzüm salkım
ay çöreği|ay çörek
peynir dilimi|peynir dilim
patates kızartması|patates kızartma
pizza dilimi|pizza dilim
mısır patlağı|
şarap kadehi|şarap kadeh
şarap bardağı|şarap bardak
bira kupası|bira kupa
bira bardağı|bira bardak
süs havuzu|süs havuz
gemi çapası|gemi çapa
yolcu uçağı|yolcu uçak
gökkuşağı|gökkuşak
ebemkuşağı|ebemkuşak
deniz dalgası|deniz dalga
hediye paketi|hediye paket
zafer kupası|zafer kupa
şampiyonluk kupası|şampiyonluk kupa
ödül kupası|ödül kupa
tenis topu|tenis top
bovling topu|bovling top
masa tenisi|
video oyunu|video oyun
oyun kolu|oyun kol
oyun kumandası|oyun kumanda
boyun bağı|boyun bağ
okul çantası|okul çanta
sırt çantası|sırt çanta
nişan yüzüğü|nişan yüzük
cep telefonu|cep telefon
fotoğraf makinesi|fotoğraf makine
elektrik ampulü|elektrik ampul
somun anahtarı|somun anahtar
İngiliz anahtarı|İngiliz anahtar
banyo küveti|banyo küvet
yaban domuzu|yaban domuz
su bufalosu|su bufalo
su aygırı|su aygır
su samuru|su samur
susamuru|susamur
pençe izi|pençe iz
pati izi|pati iz
dodo kuşu|dodo kuş
kuş tüyü|kuş tüy
tavus kuşu|tavus kuş
anka kuşu|anka kuş
T-Rex dinozoru|T-Rex dinozor
fok balığı|fok balık
ayı balığı|ayı balık
balon balığı|balon balık
deniz kabuğu|deniz kabuk
deniz minaresi|deniz minare
denizanası|denizana
deniz anası|deniz ana
mürekkep balığı|mürekkep balık
cırcır böceği|cırcır böcek
hamam böceği|hamam böcek
ev sineği|ev sinek
nilüfer çiçeği|nilüfer çiçek
çingülü|çingül
Çin gülü|Çin gül
kuş yuvası|kuş yuva
misket limonu|misket limon
yaban mersini|yaban mersin
Hindistan cevizi|Hindistan ceviz
hindistancevizi|hindistanceviz
yer fıstığı|yer fıstık
yerfıstığı|yerfıstık
domuz pastırması|domuz pastırma
tereyağı|
sofra tuzu|
pirinç topu|pirinç top
pirinç pilavı|
karides kızartması|karides kızartma
ay pastası|ay pasta
pirinç tatlısı|pirinç tatlı
bayram şekeri|bayram şeker
kahve fincanı|kahve fincan
çay fincanı|çay fincan
şampanya kadehleri|
mate çayı|mate çay
Fuji Dağı|
kamp yeri|kamp yer
bina inşaatı|bina inşaat
ağaç kütüğü|ağaç kütük
ofis binası|ofis bina
Japon şatosu|Japon şato
Japon kalesi|Japon kale
Hindu tapınağı|Hindu tapınak
Şinto tapınağı|Şinto tapınak
Japon tapınağı|Japon tapınak
hız treni|hız tren
lunapark treni|lunapark tren
berber dükkanı|berber dükkan
berber direği|berber direk
sirk çadırı|sirk çadır
yolcu treni|yolcu tren
tren istasyonu|tren istasyon
tramvay vagonu|tramvay vagon
polis arabası|polis araba
ekip arabası|ekip araba
çevre yolu|çevre yol
tren yolu|tren yol
demiryolu|demiryol
araba lastiği|araba lastik
cankurtaran simidi|cankurtaran simit
can simidi|can simit
sürat teknesi|sürat tekne
sürat motoru|sürat motor
yolcu gemisi|yolcu gemi
gezi gemisi|gezi gemi
uzaylı gemisi|uzaylı gemi
yıldız kayması|yıldız kayma
gök taşı|gök taş
savaş madalyası|savaş madalya
spor madalyası|spor madalya
kale ağı|kale ağ
futbol kalesi|futbol kale
kale filesi|kale file
su tabancası|su tabanca
oyun çubuğu|oyun çubuk
atari kolu|atari kol
kumar makinesi|kumar makine
slot makinesi|slot makine
Rus bebeği|Rus bebek
sahne sanatları|
iplik yumağı|iplik yumak
yün yumağı|yün yumak
denizci düğümü|denizci düğüm
güneş gözlüğü|güneş gözlük
laboratuvar önlüğü|laboratuvar önlük
doktor önlüğü|doktor önlük
güvenlik yeleği|güvenlik yelek
kadın giysisi|kadın giysi
bozuk para çantası|bozuk para çanta
para kesesi|para kese
el çantası|el çanta
erkek ayakkabısı|erkek ayakkabı
kadın sandaleti|kadın sandalet
kadın şapkası|kadın şapka
beyzbol şapkası|beyzbol şapka
asker kaskı|asker kask
sol anahtarı|sol anahtar
müzik notası|müzik nota
müzik notaları|
müzik klavyesi|müzik klavye
telefon ahizesi|telefon ahize
faks makinesi|faks makine
elektrik fişi|elektrik fiş
priz fişi|priz fiş
bilgisayar faresi|bilgisayar fare
iz topu|iz top
film tahtası|film tahta
el feneri|el fener
kitap yığını|kitap yığın
not defteri|not defter
alışveriş fişi|alışveriş fiş
boya fırçası|boya fırça
not kağıdı|not kağıt
evrak çantası|evrak çanta
el merdiveni|el merdiven
yara bandı|yara bant
koltuk değneği|koltuk değnek
lavabo pompası|lavabo pompa
fare kapanı|fare kapan
fare tuzağı|fare tuzak
tıraş bıçağı|tıraş bıçak
çalı süpürgesi|çalı süpürge
mezar taşı|mezar taş
Fatıma’nın Eli|
Fatma Ana eli|Fatma Ana el
moyai heykeli|moyai heykel
Paskalya heykeli|Paskalya heykel";

/// Names that are a plural already.
const PLURAL: &str = "düşen yapraklar|yapraklar|sonbahar yaprakları|evler|parıltılar|kitaplar|müzik notaları\
    |notalar|sahne sanatları|tokuşan kadehler|şampanya kadehleri";

/// What nobody counts or asks for as one: no `n` and no plural.
const UNCOUNTED: &str = "tenis|bovling|bowling|masa tenisi|pinpon|ping pong|kriket|lakros|badminton|softbol\
    |softball|tuz|sofra tuzu|tereyağı|tereyağ|pilav|pirinç pilavı|Kâbe|Kabe|Fuji Dağı|Fuji\
    |sahne sanatları|tiyatro|kadeh tokuşturma|çiçek açma|patlamış mısır|popcorn|mısır patlağı\
    |Fatıma’nın Eli";

/// A deed and no thing: asked for as it stands, in quotation marks.
const DEED: &str = "zincirleri kırmak";

const VOWELS: &str = "aıoueiöü";

/// `n` kedi, `gen` kedinin, `acc` kediyi, `dat` kediye, `abl` kediden, `mi` kedi mi, `nmi` the same of what is one of many,
/// `qgen` "kedi"nin, and of several: `pln` kediler, `plg` kedilerin, `pl` kedileri.
pub(super) fn form(name: &str, form: &str) -> Option<String> {
    if name == DEED {
        return None;
    }
    let listed = |list: &str| list.split('|').any(|other| other == name);
    let (plural, uncounted) = (listed(PLURAL), listed(UNCOUNTED));
    let compound = COMPOUNDS.lines().filter_map(|row| row.split_once('|')).find(|(other, _)| *other == name);
    let spoken = SPOKEN.iter().find(|(written, _)| *written == name).map(|(_, spoken)| *spoken);
    let apostrophe = if spoken.is_some() { "'" } else { "" };
    let sound = spoken.unwrap_or(name);
    let (narrow, wide) = harmony(sound)?;
    let ends_in_vowel = sound.ends_with(|letter| VOWELS.contains(letter));
    let stem = if spoken.is_some() { name.to_owned() } else { softened(name) };
    // What stands between a last vowel and an ending that begins with one.
    let between = if compound.is_some() { "n" } else { "y" };
    match form {
        "n" | "nmi" if plural || uncounted => None,
        "n" => Some(name.to_owned()),
        "gen" if ends_in_vowel => Some(format!("{name}{apostrophe}n{narrow}n")),
        "gen" => Some(format!("{stem}{apostrophe}{narrow}n")),
        "qgen" => Some(format!("\"{name}\"{}{narrow}n", if ends_in_vowel { "n" } else { "" })),
        "acc" if ends_in_vowel => Some(format!("{name}{apostrophe}{between}{narrow}")),
        "acc" => Some(format!("{stem}{apostrophe}{narrow}")),
        "dat" if ends_in_vowel => Some(format!("{name}{apostrophe}{between}{wide}")),
        "dat" => Some(format!("{stem}{apostrophe}{wide}")),
        "abl" if compound.is_some() => Some(format!("{name}{apostrophe}nd{wide}n")),
        "abl" => {
            let hard = sound.ends_with(|letter| "fstkçşhp".contains(letter));
            Some(format!("{name}{apostrophe}{}{wide}n", if hard { 't' } else { 'd' }))
        }
        "pl" | "pln" | "plg" if uncounted => None,
        "pl" if plural => self::form(name, "acc"),
        "plg" if plural => self::form(name, "gen"),
        "pln" if plural => Some(name.to_owned()),
        // A compound has its plural inside: köpek balıkları, köpek balıklarını.
        "pl" | "pln" | "plg" => {
            let head = compound.map_or(name, |(_, head)| head);
            let (_, wide) = harmony(spoken.unwrap_or(head))?;
            let narrow = if wide == 'a' { 'ı' } else { 'i' };
            let (possessive, between) =
                if compound.is_some() { (narrow.to_string(), "n") } else { (String::new(), "") };
            let ending = match form {
                "pln" => String::new(),
                "plg" => format!("{between}{narrow}n"),
                _ => format!("{between}{narrow}"),
            };
            Some(format!("{head}{apostrophe}l{wide}r{possessive}{ending}"))
        }
        "mi" if plural => None,
        "mi" | "nmi" => Some(format!("{name} m{narrow}")),
        _ => None,
    }
}

/// The forms of a colour, in the order of the columns of [`COLOURS`]; `colother` is another word for it or says that it is
/// one, `colvery` is how children praise it.
const COLOUR_FORMS: [&str; 7] = ["col", "colgen", "colloc", "coldat", "colins", "colother", "colvery"];

/// In the order of [`Colour::ALL`].
const COLOURS: [[&str; 7]; 8] = [
    ["kırmızı", "kırmızının", "kırmızıda", "kırmızıya", "kırmızıyla", "kırmızı renkli", "kıpkırmızı"],
    ["turuncu", "turuncunun", "turuncuda", "turuncuya", "turuncuyla", "portakal rengi", "turuncu"],
    ["sarı", "sarının", "sarıda", "sarıya", "sarıyla", "sarı renkli", "sapsarı"],
    ["yeşil", "yeşilin", "yeşilde", "yeşile", "yeşille", "yeşil renkli", "yemyeşil"],
    ["mavi", "mavinin", "mavide", "maviye", "maviyle", "mavi renkli", "masmavi"],
    ["mor", "morun", "morda", "mora", "morla", "eflatun", "mosmor"],
    ["pembe", "pembenin", "pembede", "pembeye", "pembeyle", "pembe renkli", "pespembe"],
    ["gri", "grinin", "gride", "griye", "griyle", "kül rengi", "gri"],
];

/// The word for a colour.
pub(super) fn colour_form(colour: Colour, form: &str) -> Option<String> {
    let column = COLOUR_FORMS.iter().position(|known| *known == form)?;
    Some(COLOURS[colour as usize][column].to_owned())
}

/// The forms of a kind, in the order in which [`KINDS`] lists them; `kindother` and `kindlong` are other words for it,
/// `kindthing` and `kindable` say what it is for or like.
const KIND_FORMS: [&str; 9] =
    ["kind", "kindother", "kindlong", "kinds", "kinddat", "kindabl", "kindmi", "kindthing", "kindable"];

/// What people ask for.
const KINDS: [(Category, &str); 8] = [
    (
        Category::Animal,
        "hayvan|hayvan|hayvan|hayvanlar|hayvana|hayvandan|hayvan mı\
         |hayvan gibi bir şey|hayvan sayılabilecek bir şey",
    ),
    (
        Category::Plant,
        "bitki|bitki|bitki|bitkiler|bitkiye|bitkiden|bitki mi\
         |bitki gibi bir şey|bitki sayılabilecek bir şey",
    ),
    (
        Category::Food,
        "yiyecek|gıda|gıda maddesi|yiyecekler|yiyeceğe|yiyecekten|yiyecek mi\
         |yiyecek bir şey|yenebilecek bir şey",
    ),
    (
        Category::Drink,
        "içecek|içecek|içecek|içecekler|içeceğe|içecekten|içecek mi\
         |içecek bir şey|içilebilecek bir şey",
    ),
    (
        Category::Vehicle,
        "taşıt|araç|ulaşım aracı|taşıtlar|taşıta|taşıttan|taşıt mı\
         |taşıt gibi bir şey|ulaşımda kullanılan bir şey",
    ),
    (
        Category::Place,
        "bina|yapı|bina ya da yapı|binalar|binaya|binadan|bina mı\
         |bina gibi bir şey|bina ya da yapı sayılabilecek bir şey",
    ),
    (
        Category::Clothing,
        "giysi|kıyafet|giyim eşyası|giysiler|giysiye|giysiden|giysi mi\
         |giyecek bir şey|giyilebilecek bir şey",
    ),
    (
        Category::Music,
        "çalgı|müzik aleti|enstrüman|çalgılar|çalgıya|çalgıdan|çalgı mı\
         |çalgı gibi bir şey|müzik yapılabilecek bir şey",
    ),
];

/// The word for a kind of thing; nobody asks for nature, sport or objects in general.
pub(super) fn kind_form(kind: Category, form: &str) -> Option<String> {
    let column = KIND_FORMS.iter().position(|known| *known == form)?;
    let (_, words) = KINDS.iter().find(|(known, _)| *known == kind)?;
    words.split('|').nth(column).map(str::to_owned)
}

/// The vowels of the endings: one of ı, i, u, ü, and one of a, e.
fn harmony(name: &str) -> Option<(char, char)> {
    let word = last_word(name);
    let listed = DECIDING.iter().find(|(other, _)| *other == word).map(|(_, vowel)| *vowel);
    let deciding = listed.or_else(|| name.chars().rfind(|letter| VOWELS.contains(*letter)))?;
    let narrow = match deciding {
        'a' | 'ı' => 'ı',
        'e' | 'i' => 'i',
        'o' | 'u' => 'u',
        _ => 'ü',
    };
    Some((narrow, if "aıou".contains(deciding) { 'a' } else { 'e' }))
}

/// A name as it is before an ending that begins with a vowel.
fn softened(name: &str) -> String {
    let word = last_word(name);
    let front = &name[..name.len() - word.len()];
    if let Some((_, stem)) = SOFTENED.iter().find(|(plain, _)| *plain == word) {
        return format!("{front}{stem}");
    }
    let syllables = word.chars().filter(|letter| VOWELS.contains(*letter)).count();
    if syllables < 2 || HARD.contains(&word) {
        return name.to_owned();
    }
    [('p', 'b'), ('ç', 'c'), ('k', 'ğ')]
        .iter()
        .find_map(|(hard, soft)| Some(format!("{}{soft}", name.strip_suffix(*hard)?)))
        .unwrap_or_else(|| name.to_owned())
}

/// The last word alone takes the endings.
fn last_word(name: &str) -> &str {
    name.rsplit(' ').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_takes_its_endings() {
        let forms = |name: &str| {
            ["gen", "acc", "dat", "abl", "pl", "mi"].map(|wanted| form(name, wanted).unwrap_or_default())
        };
        for row in [
            "kedi kedinin kediyi kediye kediden kedileri kedi_mi",
            "köpek köpeğin köpeği köpeğe köpekten köpekleri köpek_mi",
            "at atın atı ata attan atları at_mı",
            "kilit kilidin kilidi kilide kilitten kilitleri kilit_mi",
            "hilal hilalin hilali hilale hilalden hilalleri hilal_mi",
            "köpek_balığı köpek_balığının köpek_balığını köpek_balığına köpek_balığından köpek_balıklarını \
             köpek_balığı_mı",
            "T-Rex T-Rex'in T-Rex'i T-Rex'e T-Rex'ten T-Rex'leri T-Rex_mi",
            "lolipop lolipopun lolipopu lolipopa lolipoptan lolipopları lolipop_mu",
            "evler evlerin evleri evlere evlerden evleri ",
        ] {
            let words: Vec<String> = row.split(' ').map(|word| word.replace('_', " ")).collect();
            assert_eq!(forms(&words[0])[..], words[1..], "{row}");
        }
        let several =
            |name: &str| ["pln", "plg"].map(|wanted| form(name, wanted)).map(Option::unwrap_or_default);
        assert_eq!(several("kedi"), ["kediler", "kedilerin"]);
        assert_eq!(several("köpek balığı"), ["köpek balıkları", "köpek balıklarının"]);
        assert_eq!(several("evler"), ["evler", "evlerin"]);
        assert_eq!(form("köpek", "qgen").as_deref(), Some("\"köpek\"in"));
        assert_eq!(form("kedi", "nmi").as_deref(), Some("kedi mi"));
        assert_eq!(form("evler", "nmi"), None);
        assert_eq!(form("tuz", "n"), None);
    }

    #[test]
    fn colours_and_kinds_have_their_forms() {
        assert_eq!(colour_form(Colour::Gray, "colins").as_deref(), Some("griyle"));
        for (column, colour) in COLOURS.iter().zip(Colour::ALL) {
            assert_eq!(column[0], colour.name(crate::language::Language::Tr));
        }
        assert_eq!(kind_form(Category::Food, "kindthing").as_deref(), Some("yiyecek bir şey"));
        assert_eq!(kind_form(Category::Object, "kind"), None);
    }
}
